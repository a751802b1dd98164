//! Options of the verbs about keys and mnemonics.

use clap::{Args, Subcommand};

use super::{AccessArgs, ContactArgs, PurposeArgs};

/// Verbs about the key.
#[derive(Debug, Subcommand)]
pub(crate) enum KeyVerb {
    /// Load a key in place of any other, without asking: of words, of fresh words, of a seed, or a key pair.
    ///
    /// This computer sees the seed, and the log says so. The words are wiped as soon as the card has the key.
    Load(LoadArgs),
    /// Have the card draw its own seed, in place of any other key. Nobody ever sees it, and there is no backup.
    Generate(AccessArgs),
    /// Take the key away. Without a backup of its words it is lost for good.
    Remove(AccessArgs),
    /// Show the public key of a path. The policy must list it.
    ExportPublic(ExportPublicArgs),
}

/// Options of `key load`.
#[derive(Debug, Args)]
#[group(id = "key", required = true, multiple = false, args = ["words", "words_fd", "fresh", "seed_fd", "private_key_fd"])]
pub(crate) struct LoadArgs {
    #[command(flatten)]
    pub(crate) access: AccessArgs,
    /// Ask for the words of a mnemonic.
    #[arg(long)]
    pub(crate) words: bool,
    /// Read the words of a mnemonic from this open file descriptor, in one line.
    #[arg(long, value_name = "N")]
    pub(crate) words_fd: Option<u32>,
    /// Draw so many fresh words, show them once, and load them: 12, 15, 18, 21 or 24.
    #[arg(long, value_name = "WORDS")]
    pub(crate) fresh: Option<u32>,
    /// Write the fresh words to this open file descriptor instead of the terminal.
    #[arg(long, value_name = "N", conflicts_with_all = GIVEN)]
    pub(crate) write_words_fd: Option<u32>,
    /// Ask for each fresh word again, so that what was written down is right.
    #[arg(long, conflicts_with_all = GIVEN, conflicts_with = "write_words_fd")]
    pub(crate) read_back: bool,
    /// Read a seed of 16 to 64 bytes from this open file descriptor, in hexadecimal.
    #[arg(long, value_name = "N")]
    pub(crate) seed_fd: Option<u32>,
    /// Read a private key, or one followed by its chain code, from this open file descriptor, in hexadecimal. A key without
    /// a chain code has no others below it, and its duress PIN shows the same key.
    #[arg(long, value_name = "N")]
    pub(crate) private_key_fd: Option<u32>,
    /// Read the passphrase of the mnemonic from this open file descriptor. Another passphrase is another key.
    #[arg(long, value_name = "N")]
    pub(crate) passphrase_fd: Option<u32>,
    /// Load words or seed as a LEE seed (applet 4.0). The card's other keys are then not those of BIP-32.
    #[arg(long)]
    pub(crate) lee: bool,
}

/// Where a key comes from whose words are not drawn here. One of these or `--fresh` is there, so what does not go with these
/// goes with that.
const GIVEN: [&str; 4] = ["words", "words_fd", "seed_fd", "private_key_fd"];

/// Options of `key export-public`.
#[derive(Debug, Args)]
pub(crate) struct ExportPublicArgs {
    #[command(flatten)]
    pub(crate) access: AccessArgs,
    /// The path, for example m/44'/60'/0'/0/0.
    pub(crate) path: String,
    /// With its chain code: whoever has both knows every public key below that is not hardened.
    #[arg(long)]
    pub(crate) extended: bool,
    #[command(flatten)]
    pub(crate) purpose: PurposeArgs,
}

/// Options of `mnemonic`.
#[derive(Debug, Args)]
pub(crate) struct MnemonicArgs {
    #[command(flatten)]
    pub(crate) contact: ContactArgs,
    /// How many words: 12, 15, 18, 21 or 24.
    #[arg(long, value_name = "N", default_value_t = 12)]
    pub(crate) words: u32,
    /// Write the words to this open file descriptor instead of the terminal.
    #[arg(long, value_name = "N")]
    pub(crate) write_words_fd: Option<u32>,
    /// Ask for each word again, so that what was written down is right.
    #[arg(long, conflicts_with = "write_words_fd")]
    pub(crate) read_back: bool,
}

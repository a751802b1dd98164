//! The verbs about cards and their options. What a verb risks stands in its help. No option takes a secret: PIN, PUK, words,
//! passwords and keys come from the terminal, without echo, or from open file descriptors.

use std::path::PathBuf;

use clap::{Args, Subcommand, ValueEnum};

/// Verbs about cards.
#[derive(Debug, Subcommand)]
pub(crate) enum CardVerb {
    /// What a card says of itself and what is remembered of it; needs no PIN.
    Info(TargetArgs),
    /// Give a blank card its PIN, PUK and duress PIN.
    ///
    /// The PUK is the only way out of a blocked PIN: write it down. The duress PIN opens other keys under the same account;
    /// without --duress one is drawn that nobody knows. A card of applet 2.x or 3.x gets a random pairing secret that
    /// nobody learns: only this computer can open it, so keep a copy of its pairing (`cardinal card pairings export`), or
    /// set a password with --pairing-password.
    Init(InitArgs),
    /// Change the PIN, or unblock it with the PUK.
    #[command(subcommand)]
    Pin(PinVerb),
    /// Change the PUK.
    #[command(subcommand)]
    Puk(PukVerb),
    /// Pair this computer with a card of applet 2.x or 3.x. It takes one of the card's few slots until it is unpaired.
    ///
    /// Without a password the well-known one of other programs is tried. Who stands between card and computer while that
    /// one is used reads all that follows, so no PIN is sent over such a pairing without --first-pairing.
    Pair(PairArgs),
    /// Free pairing slots of a card. A computer whose slot is freed has to pair again, which needs the pairing password.
    Unpair(UnpairArgs),
    /// The pairing slots of a card, and which one is ours.
    Slots(TargetArgs),
    /// Load, generate or remove the card's key, or show a public key of it.
    #[command(subcommand)]
    Key(KeyVerb),
    /// Draw a mnemonic on the card, which keeps nothing of it. It is shown once, and this computer has seen it.
    ///
    /// Load it with `cardinal card key load`. Only `cardinal card key generate` keeps a seed from every computer, and that
    /// one has no backup.
    Mnemonic(MnemonicArgs),
    /// Sign a hash with a key of the card. The policy must list the path for signing.
    ///
    /// What is signed cannot be seen from its hash: a signature with a wallet key may move money.
    Sign(SignArgs),
    /// Have the card prove that it holds the key of its certificate.
    VerifyIdentity(TargetArgs),
    /// Read or write the card's public data slot. Anybody who holds the card can read it.
    #[command(subcommand)]
    Data(DataVerb),
    /// Read or write what a phone sees when it touches the card.
    #[command(subcommand)]
    Ndef(NdefVerb),
    /// Erase everything on a card: key, PIN, PUK, pairings. Without a backup of its words the key is lost for good.
    ///
    /// The card's whole id must be typed, or given with --yes-wipe. It needs no PIN: it is the way out when PIN and PUK are
    /// blocked.
    Reset(ResetArgs),
    /// Let one key sign without a PIN (up to applet 3.2), or none.
    ///
    /// Whoever holds the card signs with that key, and no PIN is asked.
    Pinless(PinlessArgs),
    /// Random bytes from the card (applet 4.0).
    Challenge(ChallengeArgs),
    /// Agree on a secret with a public key (applet 4.0). The policy must list the path for ecdh.
    Ecdh(EcdhArgs),
    /// Derive entropy for another wallet (BIP-85, applet 4.0). The policy must list the path for bip85.
    ///
    /// Whoever has it has that other wallet.
    Bip85(Bip85Args),
    /// Export nullifier and viewing keys (LEE, applet 4.0). The policy must list the path for lee.
    Lee(LeeArgs),
    /// What the card's Cash applet says of itself, and its signature, which needs no PIN.
    Cash(CashArgs),
    /// Install the applets of a Keycard on a bare Java Card. What is there under the same names is erased.
    ///
    /// A card with other keys than the known ones is left alone: wrong keys lock such cards for good. A card of applet 4.0
    /// gets its identity from the authority whose key is given; the test authority's word proves nothing.
    Install(InstallArgs),
    /// Name a card, show its name, or forget the card.
    Label(LabelArgs),
    /// Show or set what happens when the duress PIN is entered.
    ///
    /// refuse: a card whose chat key is not the remembered one is refused and locked. decoy-marked: its other keys are used,
    /// and screen and log tell. decoy-quiet: they are used, and neither tells; fingerprints in the log are keyed then.
    Duress(DuressArgs),
    /// This computer's pairings: exchange them with other programs, or change the card's pairing password.
    #[command(subcommand)]
    Pairings(PairingsVerb),
    /// The way out of a blocked PIN or PUK, or a lost pairing, step by step. Nothing is changed.
    Recover(TargetArgs),
}

/// Which card.
#[derive(Debug, Clone, Args)]
pub(crate) struct TargetArgs {
    /// The profile whose key manager is asked; needed when there is more than one.
    #[arg(long, value_name = "NAME")]
    pub(crate) profile: Option<String>,
    /// The reader with the card, for example soft:alice; without it, the manager's own.
    #[arg(long, value_name = "NAME")]
    pub(crate) reader: Option<String>,
    /// The card: its label, its id, the first 8 digits of that or more, or its account. Refused when more than one fits.
    #[arg(long, value_name = "UID|LABEL")]
    pub(crate) card: Option<String>,
}

/// Which card, and that a person vouches for it.
#[derive(Debug, Clone, Args)]
pub(crate) struct ContactArgs {
    #[command(flatten)]
    pub(crate) target: TargetArgs,
    /// Take this card on first contact: its fingerprint, compared with what its maker or issuer gave you.
    #[arg(long, value_name = "FINGERPRINT")]
    pub(crate) confirm: Option<String>,
    /// Send PIN or PUK over a pairing that was made with a well-known password. Remembered for this card.
    #[arg(long)]
    pub(crate) first_pairing: bool,
}

/// Which card, and its PIN.
#[derive(Debug, Clone, Args)]
pub(crate) struct AccessArgs {
    #[command(flatten)]
    pub(crate) contact: ContactArgs,
    /// Read the PIN from this open file descriptor (one line) instead of asking on the terminal.
    #[arg(long, value_name = "N")]
    pub(crate) pin_fd: Option<u32>,
    /// Spend the last PIN try if it comes to that.
    #[arg(long)]
    pub(crate) last_try: bool,
}

/// Options of `init`.
#[derive(Debug, Args)]
pub(crate) struct InitArgs {
    #[command(flatten)]
    pub(crate) contact: ContactArgs,
    /// Read the PIN (6 digits) from this open file descriptor.
    #[arg(long, value_name = "N")]
    pub(crate) pin_fd: Option<u32>,
    /// Read the PUK (12 digits) from this open file descriptor.
    #[arg(long, value_name = "N")]
    pub(crate) puk_fd: Option<u32>,
    /// Ask for a duress PIN that you will know.
    #[arg(long)]
    pub(crate) duress: bool,
    /// Read the duress PIN from this open file descriptor.
    #[arg(long, value_name = "N")]
    pub(crate) duress_fd: Option<u32>,
    /// How many wrong PINs block it, 2 to 6.
    #[arg(long, value_name = "N", default_value_t = 3)]
    pub(crate) pin_tries: u32,
    /// How many wrong PUKs block it, 3 to 12.
    #[arg(long, value_name = "N", default_value_t = 5)]
    pub(crate) puk_tries: u32,
    /// Ask for a pairing password, with which other computers can be paired (2.x and 3.x).
    #[arg(long)]
    pub(crate) pairing_password: bool,
    /// Read the pairing password from this open file descriptor.
    #[arg(long, value_name = "N")]
    pub(crate) pairing_password_fd: Option<u32>,
}

/// Verbs about the PIN.
#[derive(Debug, Subcommand)]
pub(crate) enum PinVerb {
    /// Set another PIN. It changes the PIN that was entered: under the duress PIN, that one.
    Change(ChangePinArgs),
    /// Give a blocked PIN a new value with the PUK. Wrong PUKs count: after the last one only a factory reset helps.
    Unblock(UnblockArgs),
}

/// Options of `pin change`.
#[derive(Debug, Args)]
pub(crate) struct ChangePinArgs {
    #[command(flatten)]
    pub(crate) access: AccessArgs,
    /// Read the new PIN from this open file descriptor.
    #[arg(long, value_name = "N")]
    pub(crate) new_pin_fd: Option<u32>,
}

/// Options of `pin unblock`.
#[derive(Debug, Args)]
pub(crate) struct UnblockArgs {
    #[command(flatten)]
    pub(crate) contact: ContactArgs,
    /// Read the PUK from this open file descriptor.
    #[arg(long, value_name = "N")]
    pub(crate) puk_fd: Option<u32>,
    /// Read the new PIN from this open file descriptor.
    #[arg(long, value_name = "N")]
    pub(crate) new_pin_fd: Option<u32>,
    /// Spend the last PUK try: after a wrong one only a factory reset helps, which erases the key.
    #[arg(long)]
    pub(crate) last_try: bool,
}

/// Verbs about the PUK.
#[derive(Debug, Subcommand)]
pub(crate) enum PukVerb {
    /// Set another PUK. There is no way to try a PUK without setting a new PIN: write it down.
    Change(ChangePukArgs),
}

/// Options of `puk change`.
#[derive(Debug, Args)]
pub(crate) struct ChangePukArgs {
    #[command(flatten)]
    pub(crate) access: AccessArgs,
    /// Read the new PUK from this open file descriptor.
    #[arg(long, value_name = "N")]
    pub(crate) new_puk_fd: Option<u32>,
}

/// Options of `pair`.
#[derive(Debug, Args)]
pub(crate) struct PairArgs {
    #[command(flatten)]
    pub(crate) contact: ContactArgs,
    /// Ask for the card's pairing password.
    #[arg(long)]
    pub(crate) password: bool,
    /// Read the card's pairing password from this open file descriptor.
    #[arg(long, value_name = "N")]
    pub(crate) password_fd: Option<u32>,
}

/// Options of `unpair`.
#[derive(Debug, Args)]
#[group(id = "which", required = true, multiple = false, args = ["slot", "others", "ours"])]
pub(crate) struct UnpairArgs {
    #[command(flatten)]
    pub(crate) access: AccessArgs,
    /// The pairing in this slot.
    #[arg(long, value_name = "N")]
    pub(crate) slot: Option<u32>,
    /// Every pairing but ours.
    #[arg(long)]
    pub(crate) others: bool,
    /// Our own pairing, which is forgotten.
    #[arg(long)]
    pub(crate) ours: bool,
}

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
    #[arg(long, value_name = "N", requires = "fresh")]
    pub(crate) write_words_fd: Option<u32>,
    /// Ask for each fresh word again, so that what was written down is right.
    #[arg(long, requires = "fresh", conflicts_with = "write_words_fd")]
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

/// What for.
#[derive(Debug, Args)]
pub(crate) struct PurposeArgs {
    /// What for, as the policy's rules and the log name it.
    #[arg(long, value_name = "WORDS", default_value = "command line")]
    pub(crate) purpose: String,
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

/// Options of `sign`.
#[derive(Debug, Args)]
pub(crate) struct SignArgs {
    #[command(flatten)]
    pub(crate) access: AccessArgs,
    /// The path of the key.
    #[arg(long)]
    pub(crate) path: String,
    /// The hash, 64 hexadecimal digits.
    pub(crate) hash: String,
    /// A signature of BIP-340 (applet 4.0).
    #[arg(long)]
    pub(crate) schnorr: bool,
    /// What is added to the key for that, 64 hexadecimal digits.
    #[arg(long, value_name = "HEX", requires = "schnorr")]
    pub(crate) tweak: Option<String>,
    #[command(flatten)]
    pub(crate) purpose: PurposeArgs,
}

/// Verbs about the public data slot.
#[derive(Debug, Subcommand)]
pub(crate) enum DataVerb {
    /// Show a slot.
    Get(DataGetArgs),
    /// Write a slot. What was there is replaced.
    Set(DataSetArgs),
}

/// A slot that is no NDEF.
#[derive(Debug, Clone, Copy, PartialEq, Eq, ValueEnum)]
pub(crate) enum Slot {
    /// For any program; Status keeps its metadata here.
    Public,
    /// What the Cash applet shows.
    Cash,
}

/// Options of `data get`.
#[derive(Debug, Args)]
pub(crate) struct DataGetArgs {
    #[command(flatten)]
    pub(crate) contact: ContactArgs,
    /// Which slot.
    #[arg(long, value_enum, default_value_t = Slot::Public)]
    pub(crate) slot: Slot,
}

/// Options of `data set`.
#[derive(Debug, Args)]
#[group(id = "content", required = true, multiple = false, args = ["hex", "file", "name"])]
pub(crate) struct DataSetArgs {
    #[command(flatten)]
    pub(crate) access: AccessArgs,
    /// Which slot.
    #[arg(long, value_enum, default_value_t = Slot::Public)]
    pub(crate) slot: Slot,
    /// The bytes, in hexadecimal.
    #[arg(long)]
    pub(crate) hex: Option<String>,
    /// The file with the bytes.
    #[arg(long)]
    pub(crate) file: Option<PathBuf>,
    /// A name for the card, in the metadata of Status.
    #[arg(long)]
    pub(crate) name: Option<String>,
    /// Wallet accounts for the metadata of Status: the last numbers of their paths.
    #[arg(long, value_delimiter = ',', requires = "name")]
    pub(crate) accounts: Vec<u32>,
}

/// Verbs about NDEF.
#[derive(Debug, Subcommand)]
pub(crate) enum NdefVerb {
    /// Show the message.
    Get(ContactArgs),
    /// Write the message. What was there is replaced.
    Set(NdefSetArgs),
}

/// Options of `ndef set`.
#[derive(Debug, Args)]
#[group(id = "message", required = true, multiple = false, args = ["uri", "text", "ndef_hex", "ndef_file"])]
pub(crate) struct NdefSetArgs {
    #[command(flatten)]
    pub(crate) access: AccessArgs,
    /// A record with this address.
    #[arg(long)]
    pub(crate) uri: Option<String>,
    /// A record with this text.
    #[arg(long)]
    pub(crate) text: Option<String>,
    /// The language of the text.
    #[arg(long, value_name = "CODE", default_value = "en")]
    pub(crate) language: String,
    /// The message, in hexadecimal, without its length.
    #[arg(long = "hex", id = "ndef_hex")]
    pub(crate) ndef_hex: Option<String>,
    /// The file with the message, without its length.
    #[arg(long = "file", id = "ndef_file")]
    pub(crate) ndef_file: Option<PathBuf>,
}

/// Options of `reset`.
#[derive(Debug, Args)]
pub(crate) struct ResetArgs {
    #[command(flatten)]
    pub(crate) target: TargetArgs,
    /// Erase the card with this id without asking: its whole id, as `info` shows it.
    #[arg(long, value_name = "ID")]
    pub(crate) yes_wipe: Option<String>,
}

/// Options of `pinless`.
#[derive(Debug, Args)]
#[group(id = "set", required = true, multiple = false, args = ["path", "clear"])]
pub(crate) struct PinlessArgs {
    #[command(flatten)]
    pub(crate) access: AccessArgs,
    /// The path of the key. The policy must list it for signing.
    #[arg(long)]
    pub(crate) path: Option<String>,
    /// No key signs without a PIN.
    #[arg(long)]
    pub(crate) clear: bool,
    #[command(flatten)]
    pub(crate) purpose: PurposeArgs,
}

/// Options of `challenge`.
#[derive(Debug, Args)]
pub(crate) struct ChallengeArgs {
    #[command(flatten)]
    pub(crate) contact: ContactArgs,
    /// How many bytes, 1 to 245.
    #[arg(long, value_name = "N", default_value_t = 32)]
    pub(crate) length: u32,
}

/// Where a secret goes.
#[derive(Debug, Args)]
pub(crate) struct SecretArgs {
    #[command(flatten)]
    pub(crate) purpose: PurposeArgs,
    /// Write the secret to this open file descriptor, in hexadecimal, instead of the terminal.
    #[arg(long, value_name = "N")]
    pub(crate) write_fd: Option<u32>,
}

/// Options of `ecdh`.
#[derive(Debug, Args)]
pub(crate) struct EcdhArgs {
    #[command(flatten)]
    pub(crate) access: AccessArgs,
    /// The path of the card's key, below m/43'/60'/1581' or m/44'/1237' and at least 5 deep.
    #[arg(long)]
    pub(crate) path: String,
    /// The other public key, in hexadecimal.
    pub(crate) peer: String,
    #[command(flatten)]
    pub(crate) secret: SecretArgs,
}

/// Options of `bip85`.
#[derive(Debug, Args)]
pub(crate) struct Bip85Args {
    #[command(flatten)]
    pub(crate) access: AccessArgs,
    /// The path, m/83696968'/… with every component hardened.
    #[arg(long)]
    pub(crate) path: String,
    /// How many bytes, 1 to 64.
    #[arg(long, value_name = "N", default_value_t = 64)]
    pub(crate) length: u32,
    #[command(flatten)]
    pub(crate) secret: SecretArgs,
}

/// Options of `lee`.
#[derive(Debug, Args)]
pub(crate) struct LeeArgs {
    #[command(flatten)]
    pub(crate) access: AccessArgs,
    /// The path.
    #[arg(long, default_value = "m")]
    pub(crate) path: String,
    #[command(flatten)]
    pub(crate) secret: SecretArgs,
}

/// Options of `cash`.
#[derive(Debug, Args)]
pub(crate) struct CashArgs {
    #[command(flatten)]
    pub(crate) target: TargetArgs,
    /// Sign this hash, 64 hexadecimal digits.
    #[arg(long, value_name = "HASH")]
    pub(crate) sign: Option<String>,
}

/// Options of `install`.
#[derive(Debug, Args)]
pub(crate) struct InstallArgs {
    #[command(flatten)]
    pub(crate) target: TargetArgs,
    /// A CAP file; several times for several (applet 4.0: math.cap too).
    #[arg(long, value_name = "FILE", required = true)]
    pub(crate) cap: Vec<PathBuf>,
    /// The private key of the authority that signs the card's identity: 32 bytes, or 64 hexadecimal digits.
    #[arg(long, value_name = "FILE")]
    pub(crate) ca_key: Option<PathBuf>,
    /// Have the public test authority sign it. Anybody can do that: such a card proves nothing.
    #[arg(long, conflicts_with = "ca_key")]
    pub(crate) test_ca: bool,
    /// Also on a card with a PIN, whose key is erased by it.
    #[arg(long)]
    pub(crate) erase_owned: bool,
}

/// Options of `label`.
#[derive(Debug, Args)]
pub(crate) struct LabelArgs {
    #[command(flatten)]
    pub(crate) contact: ContactArgs,
    /// The name; without it, the card's name is shown.
    #[arg(conflicts_with = "forget")]
    pub(crate) name: Option<String>,
    /// Forget what is remembered of the card: the next contact is the first again.
    #[arg(long)]
    pub(crate) forget: bool,
}

/// Options of `duress`.
#[derive(Debug, Args)]
pub(crate) struct DuressArgs {
    #[command(flatten)]
    pub(crate) contact: ContactArgs,
    /// refuse, decoy-quiet or decoy-marked; without it, the mode is shown.
    pub(crate) mode: Option<String>,
}

/// Verbs about pairings.
#[derive(Debug, Subcommand)]
pub(crate) enum PairingsVerb {
    /// Take pairings of another program: a desktop pairings.json, or the base64 text of a phone for one card.
    Import(ImportArgs),
    /// Hand pairings over. Whoever has one can open a channel to the card and try PINs.
    Export(ExportArgs),
    /// Set another pairing password, or a random secret that nobody knows. Pairings that there are go on.
    Password(PasswordArgs),
}

/// Options of `pairings import`.
#[derive(Debug, Args)]
pub(crate) struct ImportArgs {
    #[command(flatten)]
    pub(crate) target: TargetArgs,
    /// Read them from this open file descriptor instead of FILE.
    #[arg(long, value_name = "N", required_unless_present = "file", conflicts_with = "file")]
    pub(crate) fd: Option<u32>,
    /// The file.
    pub(crate) file: Option<PathBuf>,
    /// It is the text of a phone, and the pairing of the card that is named.
    #[arg(long)]
    pub(crate) mobile: bool,
}

/// Options of `pairings export`.
#[derive(Debug, Args)]
pub(crate) struct ExportArgs {
    #[command(flatten)]
    pub(crate) target: TargetArgs,
    /// Of all cards, not only of the one in the reader.
    #[arg(long, conflicts_with_all = ["mobile", "card", "reader"])]
    pub(crate) all: bool,
    /// As the text of a phone.
    #[arg(long)]
    pub(crate) mobile: bool,
    /// Write them to this open file descriptor instead of the terminal.
    #[arg(long, value_name = "N")]
    pub(crate) write_fd: Option<u32>,
}

/// Options of `pairings password`.
#[derive(Debug, Args)]
pub(crate) struct PasswordArgs {
    #[command(flatten)]
    pub(crate) access: AccessArgs,
    /// A random secret: no other computer can be paired from then on.
    #[arg(long)]
    pub(crate) random: bool,
    /// Read the password from this open file descriptor.
    #[arg(long, value_name = "N", conflicts_with = "random")]
    pub(crate) password_fd: Option<u32>,
}

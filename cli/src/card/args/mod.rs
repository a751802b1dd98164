//! The verbs about cards and their options. What a verb risks stands in its help. No option takes a secret: PIN, PUK, words,
//! passwords and keys come from the terminal, without echo, or from open file descriptors.

mod data;
mod key;
mod pairing;
mod pin;

use std::path::PathBuf;

use clap::{Args, Subcommand};

pub(crate) use data::{DataGetArgs, DataSetArgs, DataVerb, NdefSetArgs, NdefVerb, Slot};
pub(crate) use key::{ExportPublicArgs, KeyVerb, LoadArgs, MnemonicArgs};
pub(crate) use pairing::{ExportArgs, ImportArgs, PairArgs, PairingsVerb, PasswordArgs, UnpairArgs};
pub(crate) use pin::{ChangePinArgs, ChangePukArgs, InitArgs, PinVerb, PukVerb, UnblockArgs};

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
#[derive(Debug, Clone, Default, Args)]
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
    /// Send PIN or PUK over a pairing that was made with a well-known password; of `init`, give the card such a password.
    /// Remembered for this card.
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

/// What for.
#[derive(Debug, Args)]
pub(crate) struct PurposeArgs {
    /// What for, as the policy's rules and the log name it.
    #[arg(long, value_name = "WORDS", default_value = "command line")]
    pub(crate) purpose: String,
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
    /// Also on the card with a PIN that has this whole id, whose key is erased by it.
    #[arg(long, value_name = "ID")]
    pub(crate) erase_owned: Option<String>,
}

/// Options of `label`.
#[derive(Debug, Args)]
pub(crate) struct LabelArgs {
    #[command(flatten)]
    pub(crate) contact: ContactArgs,
    /// The name, "" for none; without it, the card's name is shown.
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

//! The key manager as the verbs about cards see it: which card they mean, its PIN, and what a person has to confirm.

use std::io::IsTerminal as _;

use proto::rpc::api::cards_client::CardsClient;
use proto::rpc::api::proof_client::ProofClient;
use proto::rpc::api::{CardAccess, CardTarget, Sealed};
use proto::rpc::{Fault, seal};
use proto::shell::dice;
use proto::{ChatKey, Pin, Puk};
use tonic::transport::Channel;
use zeroize::Zeroizing;

use crate::card::args::{AccessArgs, ContactArgs, TargetArgs};
use crate::client::{self, Keymgr};
use crate::error::CliError;
use crate::output::shown;
use crate::paths::Layout;
use crate::secret;

/// A key manager, and the card that a verb means.
pub(crate) struct Manager {
    keymgr: Keymgr,
    /// Its service for cards.
    pub(crate) cards: CardsClient<Channel>,
    /// Its service for what cards say of the export log.
    pub(crate) proof: ProofClient<Channel>,
    target: CardTarget,
    whose: String,
    profile: String,
}

/// What a secret is opened with on its way here: it opens once.
pub(crate) struct OneTime(proto::rpc::SealingKey);

impl OneTime {
    /// Returns a fresh one.
    pub(crate) fn fresh() -> Self {
        Self(proto::rpc::SealingKey::generate(&mut dice()))
    }

    /// Returns the public half, for a request.
    pub(crate) fn caller(&self) -> Vec<u8> {
        self.0.public().to_vec()
    }

    /// Opens what came back.
    ///
    /// # Errors
    /// [`CliError::Other`] when it does not open.
    pub(crate) fn open(self, context: &str, sealed: Option<&Sealed>) -> Result<Zeroizing<Vec<u8>>, CliError> {
        let sealed = sealed.ok_or_else(|| CliError::Other(format!("the key manager sent no {context}")))?;
        self.0.open(context, sealed).map_err(|_| CliError::Other(format!("the key manager's {context} does not open")))
    }
}

impl Manager {
    /// Connects to the key manager of a profile.
    ///
    /// # Errors
    /// [`CliError::Socket`] when it does not run.
    pub(crate) async fn of(args: &TargetArgs) -> Result<Self, CliError> {
        let TargetArgs { profile, reader, card } = args;
        let profile = Layout::of_user()?.choose(profile.as_deref())?;
        let channel = client::channel(&profile.keymgr_socket).await?;
        let whose = match (card, reader) {
            (Some(card), _) => card.clone(),
            (None, Some(reader)) => format!("the card in {reader}"),
            (None, None) => profile.name.to_string(),
        };
        Ok(Self {
            keymgr: Keymgr::new(channel.clone()),
            cards: CardsClient::new(channel.clone()),
            proof: ProofClient::new(channel),
            target: CardTarget { reader: reader.clone().unwrap_or_default(), card: card.clone().unwrap_or_default() },
            whose,
            profile: profile.name.to_string(),
        })
    }

    /// Returns the profile's name.
    pub(crate) fn profile(&self) -> &str {
        &self.profile
    }

    /// Returns the key manager's service for sessions.
    pub(crate) const fn keymgr(&mut self) -> &mut Keymgr {
        &mut self.keymgr
    }

    /// Returns whose PIN is asked for.
    pub(crate) fn whose(&self) -> &str {
        &self.whose
    }

    /// Returns the card in the words of a sentence that begins with it.
    pub(crate) fn card_of(&self) -> String {
        match (self.target.card.as_str(), self.target.reader.as_str()) {
            ("", "") => format!("{}'s card", self.profile),
            ("", reader) => format!("The card in {}", shown(reader)),
            (card, _) => format!("The card {}", shown(card)),
        }
    }

    /// Returns the card that is meant.
    pub(crate) fn target(&self) -> Option<CardTarget> {
        Some(self.target.clone())
    }

    /// Returns a secret sealed to a fresh one-time key of the manager.
    ///
    /// # Errors
    /// What the manager answered.
    pub(crate) async fn sealed(&mut self, context: &str, secret: &[u8]) -> Result<Sealed, CliError> {
        client::sealed(&mut self.keymgr, context, secret).await
    }

    /// Does something that needs no PIN with a card for which a person may have to vouch. At a terminal that is asked, and
    /// then tried once more.
    ///
    /// # Errors
    /// What `call` says.
    pub(crate) async fn contact<R>(
        &mut self,
        args: &ContactArgs,
        mut call: impl AsyncFnMut(&mut Self, CardAccess) -> Result<R, CliError>,
    ) -> Result<R, CliError> {
        let mut access = CardAccess {
            target: self.target(),
            confirm: args.confirm.clone().unwrap_or_default(),
            first_pairing: args.first_pairing,
            ..CardAccess::default()
        };
        match call(self, access.clone()).await {
            Err(error) if args.confirm.is_none() && wants_fingerprint(&error) => {
                access.confirm = confirmed(error).await?;
                call(self, access).await
            }
            other => other,
        }
    }

    /// Does something with a card and its PIN, which is asked for first.
    ///
    /// # Errors
    /// What `call` says; a wrong PIN is not tried again.
    pub(crate) async fn with_pin<R>(
        &mut self,
        args: &AccessArgs,
        mut call: impl AsyncFnMut(&mut Self, CardAccess) -> Result<R, CliError>,
    ) -> Result<R, CliError> {
        let pin = self.pin(args).await?;
        self.contact(&args.contact, async |manager: &mut Self, access| {
            let pin = Some(manager.sealed(seal::PIN, pin.expose()).await?);
            call(manager, CardAccess { pin, last_try: args.last_try, ..access }).await
        })
        .await
    }

    /// Does something with a card in the session of the unlocked one. The PIN is asked for only when there is none, or when
    /// a descriptor for it was given.
    ///
    /// # Errors
    /// What `call` says.
    pub(crate) async fn with_session<R>(
        &mut self,
        args: &AccessArgs,
        mut call: impl AsyncFnMut(&mut Self, CardAccess) -> Result<R, CliError>,
    ) -> Result<R, CliError> {
        if args.pin_fd.is_none() {
            let access = CardAccess { target: self.target(), ..CardAccess::default() };
            match call(self, access).await {
                Err(error) if error.fault() == Some(Fault::Locked) && std::io::stdin().is_terminal() => {}
                other => return other,
            }
        }
        self.with_pin(args, call).await
    }

    async fn pin(&self, args: &AccessArgs) -> Result<Pin, CliError> {
        let digits = secret::ask(args.pin_fd, format!("PIN of {}: ", self.whose), "PIN", LONGEST).await?;
        pin(&digits)
    }

    /// Asks for a PIN that is to be set.
    ///
    /// # Errors
    /// [`Fault::BadInput`] when it is none.
    pub(crate) async fn new_pin(&self, fd: Option<u32>, prompt: &str) -> Result<Pin, CliError> {
        pin(&secret::ask_new(fd, prompt, "PIN", LONGEST).await?)
    }

    /// Asks for a PUK that is to be set.
    ///
    /// # Errors
    /// [`Fault::BadInput`] when it is none.
    pub(crate) async fn new_puk(&self, fd: Option<u32>, prompt: &str) -> Result<Puk, CliError> {
        puk(&secret::ask_new(fd, prompt, "PUK", LONGEST).await?)
    }

    /// Asks for the card's PUK.
    ///
    /// # Errors
    /// [`Fault::BadInput`] when it is none.
    pub(crate) async fn puk(&self, fd: Option<u32>) -> Result<Puk, CliError> {
        puk(&secret::ask(fd, format!("PUK of {}: ", self.whose), "PUK", LONGEST).await?)
    }
}

fn pin(digits: &[u8]) -> Result<Pin, CliError> {
    Pin::try_from(digits)
        .map_err(|_| CliError::found(Fault::BadInput, "a PIN is exactly 6 digits; nothing was sent to the card"))
}

fn puk(digits: &[u8]) -> Result<Puk, CliError> {
    Puk::try_from(digits)
        .map_err(|_| CliError::found(Fault::BadInput, "a PUK is exactly 12 digits; nothing was sent to the card"))
}

/// Whether a person at a terminal can mend this by comparing a fingerprint.
fn wants_fingerprint(error: &CliError) -> bool {
    error.fault() == Some(Fault::Unvouched) && error.to_string().contains("--confirm") && std::io::stdin().is_terminal()
}

/// Shows what there is to compare, and returns what the person typed.
async fn confirmed(error: CliError) -> Result<String, CliError> {
    eprintln!("{}", shown(&error.to_string()));
    let typed = crate::card::ask_line("Type the fingerprint if it is the same, or nothing to stop: ").await?;
    if typed.is_empty() { Err(error) } else { Ok(typed) }
}

/// Reads a public key in hexadecimal.
///
/// # Errors
/// [`Fault::BadInput`] when it is no point of the curve: nothing is asked of the card then.
pub(crate) fn public_key(digits: &str) -> Result<ChatKey, CliError> {
    let bytes = hex::decode(digits.strip_prefix("0x").unwrap_or(digits)).unwrap_or_default();
    ChatKey::try_from(bytes.as_slice()).map_err(|_| {
        CliError::found(Fault::BadInput, "the other key is no point of secp256k1; nothing was asked of the card")
    })
}

/// Reads 32 bytes in hexadecimal.
///
/// # Errors
/// [`Fault::BadInput`].
pub(crate) fn bytes32(digits: &str, what: &str) -> Result<Vec<u8>, CliError> {
    let bytes = hex::decode(digits.strip_prefix("0x").unwrap_or(digits)).ok().filter(|bytes| bytes.len() == 32);
    bytes.ok_or_else(|| CliError::found(Fault::BadInput, format!("a {what} is 64 hexadecimal digits")))
}

/// A line with a PIN or PUK holds no more, with room for a mistake.
const LONGEST: usize = 32;

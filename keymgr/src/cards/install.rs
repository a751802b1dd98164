//! The applets of a Keycard on a bare Java Card, over GlobalPlatform, and the identity that a 4.0 card needs.
//!
//! What is on the card under the same names is erased. That every package is recorded, and that a card with other keys loses
//! no try, is the engine's doing (`keycard::globalplatform`).

use audit::{LogStore, Outcome, Recorded};
use keycard::globalplatform::{AuthorityKey, Cap, InstallError, Installed, Plan, Progress, SecurityDomain};
use keycard::{CardError, CardTransport, Failed};
use proto::{CardId, Fingerprint};
use zeroize::Zeroizing;

use crate::broker::Broker;
use crate::cards::known::Known;
use crate::cards::seat::{Target, info_of, transport_of};
use crate::cards::vouch::fingerprint_of;
use crate::error::BrokerError;
use crate::guard::Guarded;
use crate::journal::Why;

/// Who signs the identity of the new card.
pub enum Issuer {
    /// Nobody: applets up to 3.2 can do without.
    Nobody,
    /// The public test authority, whose word proves nothing.
    Test,
    /// The authority with the private key of this file.
    Key(Zeroizing<Vec<u8>>),
}

/// What is installed.
pub struct Installation {
    /// On which card.
    pub target: Target,
    /// The CAP files.
    pub files: Vec<Vec<u8>>,
    /// Who signs its identity.
    pub issuer: Issuer,
    /// The whole id of a Keycard with a PIN, as a person typed it, that may be erased for it.
    pub erase_owned: Option<String>,
}

/// A card with its applets.
#[derive(Debug, Clone, PartialEq, Eq)]
pub struct Issued {
    /// Its name as a blank card.
    pub card: CardId,
    /// What a person compares.
    pub fingerprint: Option<Fingerprint>,
    /// Which of the known keys its security domain has.
    pub domain_key: &'static str,
    /// Who signed its identity.
    pub authority: Option<String>,
    /// The number of the first intent.
    pub entry: u64,
}

impl<T: CardTransport, S: LogStore> Broker<T, S> {
    /// Installs the applets of a Keycard.
    ///
    /// # Errors
    /// [`BrokerError::BadInput`] for files that make no Keycard, before a card is asked, and where another
    /// card is to be erased than the one in the reader; [`BrokerError::Install`].
    pub fn card_install(&mut self, installation: Installation, why: &Why) -> Result<Issued, BrokerError> {
        let Installation { target, files, issuer, erase_owned } = installation;
        let bad = |error: &dyn std::fmt::Display| BrokerError::bad_input(error.to_string());
        let caps =
            files.iter().map(|file| Cap::parse(file)).collect::<Result<Vec<_>, _>>().map_err(|error| bad(&error))?;
        let plan = Plan::new(caps).map_err(|error| bad(&error))?;
        let authority = match issuer {
            Issuer::Nobody if plan.needs_identity() => return Err(BrokerError::bad_input(NO_ISSUER)),
            Issuer::Nobody => None,
            Issuer::Test => Some(AuthorityKey::test()),
            Issuer::Key(file) => Some(AuthorityKey::parse(&file).map_err(|error| bad(&error))?),
        };
        let authority = authority.filter(|_| plan.takes_identity());
        self.at(&target, |broker| broker.install(&plan, authority.as_ref(), erase_owned.as_deref(), why))
    }

    fn install(
        &mut self,
        plan: &Plan,
        authority: Option<&AuthorityKey>,
        erase_owned: Option<&str>,
        why: &Why,
    ) -> Result<Issued, BrokerError> {
        let owned = erase_owned.map(|typed| self.owned(typed)).transpose()?;
        let issued = self.install_over(plan, authority, owned.is_some(), why);
        if let Some(owned) = owned
            && (issued.is_ok() || self.is_gone(&owned))
        {
            self.forget(&owned)?;
            self.cards.known.forget(&owned)?;
        }
        issued
    }

    fn install_over(
        &mut self,
        plan: &Plan,
        authority: Option<&AuthorityKey>,
        erases_owned: bool,
        why: &Why,
    ) -> Result<Issued, BrokerError> {
        let transport = self.reset_transport()?;
        let domain = SecurityDomain::open(transport, &mut *self.dice).map_err(|failed| self.not_installed(failed))?;
        let (domain_key, requests) = (domain.key(), domain.requests(plan));
        let (mut domain, mut left) = (Some(domain), None);
        let ask = |recorded: &mut [Recorded]| {
            let mut progress = |progress: Progress<'_>| tracing::debug!(?progress, "installing");
            let once = domain.take().ok_or(CardError::Misuse { what: "a plan is carried out once" })?;
            match once.install(plan, erases_owned, recorded, &mut progress) {
                Ok(installed) => Ok(installed),
                Err(Failed { transport, error, .. }) => {
                    left = Some(transport);
                    Err(error)
                }
            }
        };
        let installed = self.journal.carry_out_all(requests, why, ask);
        if let Some(transport) = left.or(domain.map(SecurityDomain::into_transport)) {
            self.put_back(transport);
        }
        let (installed, entry) = installed?;
        let installed = match authority {
            Some(authority) => self.personalise(installed, authority, why)?,
            None => installed,
        };
        let card = match installed.select() {
            Ok(card) => card,
            Err(failed) => return Err(self.not_installed(failed)),
        };
        let info = card.info().clone();
        self.put_back(card.into_transport());
        self.remember_issued(&info)?;
        tracing::info!(card = %info.card_id(), "the applets are installed");
        Ok(Issued {
            card: info.card_id(),
            fingerprint: fingerprint_of(&info),
            domain_key,
            authority: authority.map(|authority| authority.authority().to_string()),
            entry,
        })
    }

    /// Returns the id of the Keycard that is to be erased, if it is the one whose id was typed.
    fn owned(&mut self, typed: &str) -> Result<CardId, BrokerError> {
        let selection = self.connect()?;
        let found = info_of(&selection).card_id();
        self.put_back(transport_of(selection));
        if typed.trim() == found.to_string() {
            return Ok(found);
        }
        let what = format!("nothing was erased: the card in the reader is {found}, and that id was not typed");
        Err(BrokerError::bad_input(what))
    }

    /// Whether an installation that was cut off has erased this Keycard. One that cannot be asked may still be there.
    fn is_gone(&mut self, owned: &CardId) -> bool {
        match self.connect() {
            Ok(selection) => {
                let found = info_of(&selection).card_id();
                self.put_back(transport_of(selection));
                found != *owned
            }
            Err(BrokerError::Card(CardError::Unsuitable(_))) => true,
            Err(_) => false,
        }
    }

    fn personalise(
        &mut self,
        installed: Installed<Guarded<T>>,
        authority: &AuthorityKey,
        why: &Why,
    ) -> Result<Installed<Guarded<T>>, BrokerError> {
        let identity = match authority.issue(&mut *self.dice) {
            Ok(identity) => identity,
            Err(error) => {
                self.put_back(installed.into_transport());
                return Err(error.into());
            }
        };
        let request = installed.request(&identity);
        let fingerprint = Fingerprint::of(identity.certificate().identity());
        let mut installed = Some(installed);
        let mut left = None;
        let ask = |recorded: &mut Recorded| {
            let once = installed.take().ok_or(CardError::Misuse { what: "a card is personalised once" })?;
            match once.personalise(&identity, recorded) {
                Ok(done) => {
                    installed = Some(done);
                    Ok(())
                }
                Err(Failed { transport, error, .. }) => {
                    left = Some(transport);
                    Err(match error {
                        InstallError::Card(error) => error,
                        _ => CardError::Answer { what: "the card does not show its new identity" },
                    })
                }
            }
        };
        let done = |(): &()| Outcome::done(Some(fingerprint), None);
        let result = self.journal.carry_out(request, why, ask, done);
        if let Some(transport) = left {
            self.put_back(transport);
        }
        match (result, installed) {
            (Ok(_), Some(installed)) => Ok(installed),
            (Ok(_), None) => Err(CardError::Misuse { what: "a card is personalised once" }.into()),
            (Err(error), installed) => {
                if let Some(installed) = installed {
                    self.put_back(installed.into_transport());
                }
                Err(error)
            }
        }
    }

    /// Remembers a 4.0 card whose identity was made here: nobody else need vouch for it.
    fn remember_issued(&mut self, info: &keycard::ApplicationInfo) -> Result<(), BrokerError> {
        let Some(certificate) = info.certificate() else { return Ok(()) };
        let fresh = Known::new(info.card_id(), info.generation().into());
        Ok(self.cards.known.keep(Known { identity: Some(*certificate.identity()), confirmed: true, ..fresh })?)
    }

    fn not_installed(&mut self, failed: Failed<Guarded<T>, InstallError>) -> BrokerError {
        self.put_back(failed.transport);
        failed.error.into()
    }
}

const NO_ISSUER: &str = "applet 4.0 answers nothing until its identity is signed: give the key of an authority with --ca-key, \
                         or take the public one of tests with --test-ca, whose word proves nothing";

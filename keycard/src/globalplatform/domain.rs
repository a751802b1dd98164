//! A card's issuer security domain: the authority on the card that loads and deletes applets.
//!
//! ```text
//! SELECT Keycard, SELECT security domain, INITIALIZE UPDATE, EXTERNAL AUTHENTICATE     (open)
//! DELETE        80 E4 00 80   4F len package                                           the last package first
//! INSTALL       80 E6 02 00   LV package || 00 || 00 || 00 || 00                       [for load]
//! LOAD          80 E8 00|80 block                                                      80: the last block
//! INSTALL       80 E6 0C 00   LV package || LV applet || LV instance || 01 00 || 02 C9 00 || 00
//! ```
//! The invariants: every package is on record before the first DELETE, and DELETE comes before LOAD, so an installation
//! that was cut off anywhere can be run again from its beginning.

use audit::{Blob, LoadFile, Operation, Recorded, Request};
use proto::{CardId, KeyUid};
use rand_core::CryptoRng;

use crate::apdu::{Answer, Command};
use crate::command::select;
use crate::error::{CardError, Failed};
use crate::globalplatform::aid::{self, Aid};
use crate::globalplatform::cap::Cap;
use crate::globalplatform::error::InstallError;
use crate::globalplatform::identity::Installed;
use crate::globalplatform::plan::Plan;
use crate::globalplatform::scp02::{Channel, Handshake};
use crate::status_word::StatusWord;
use crate::transport::{CardTransport, exchange};

/// A security domain that has accepted us.
pub struct SecurityDomain<T> {
    transport: T,
    channel: Channel,
    chip: [u8; 10],
    key: &'static str,
    existing: Existing,
}

/// What was on the card.
#[derive(Debug, Clone, Copy, PartialEq, Eq)]
pub enum Existing {
    /// No Keycard.
    Nothing,
    /// A Keycard without a PIN.
    Blank,
    /// A Keycard with a PIN, or something in its place that does not show whether it has an owner.
    Owned {
        /// The account that it shows.
        key_uid: Option<KeyUid>,
    },
}

/// How far an installation is.
#[derive(Debug, Clone, PartialEq, Eq)]
#[non_exhaustive]
pub enum Progress<'a> {
    /// A package and its applets are deleted.
    Deleting {
        /// Its name.
        package: &'a Aid,
    },
    /// A package is loaded.
    Loading {
        /// Its name.
        package: &'a Aid,
        /// How many blocks the card has.
        sent: usize,
        /// How many there are.
        blocks: usize,
    },
    /// An applet is installed.
    Installing {
        /// The applet's name.
        applet: &'a Aid,
    },
}

impl<T: CardTransport> SecurityDomain<T> {
    /// Opens the security domain of the card behind `transport`, if its keys are known. Nothing on the card changes.
    ///
    /// # Errors
    /// [`InstallError::OtherKeys`] and [`InstallError::OtherProtocol`] before any try is spent,
    /// [`InstallError::NoSecurityDomain`], [`InstallError::Locked`], [`InstallError::Card`].
    pub fn open(mut transport: T, rng: &mut dyn CryptoRng) -> Result<Self, Failed<T, InstallError>> {
        match handshake(&mut transport, rng) {
            Ok((channel, chip, key, existing)) => Ok(Self { transport, channel, chip, key, existing }),
            Err(error) => Err(Failed { transport, error }),
        }
    }

    /// Returns what was on the card before.
    #[must_use]
    pub fn existing(&self) -> Existing {
        self.existing
    }

    /// Returns the name of the chip.
    #[must_use]
    pub fn id(&self) -> CardId {
        CardId::Chip(self.chip)
    }

    /// Ends the session on our side and gives the transport back.
    #[must_use]
    pub fn into_transport(self) -> T {
        self.transport
    }

    /// Returns which of the known keys the card has.
    #[must_use]
    pub fn key(&self) -> &'static str {
        self.key
    }

    /// Returns the requests that records must hold before the plan is carried out: one for each package, in their order.
    #[must_use]
    pub fn requests(&self, plan: &Plan) -> Vec<Request> {
        plan.packages().iter().filter_map(|package| self.request(package)).collect()
    }

    fn request(&self, package: &Cap) -> Option<Request> {
        let key_uid = match self.existing {
            Existing::Owned { key_uid } => key_uid,
            Existing::Nothing | Existing::Blank => None,
        };
        let name = Blob::try_from(package.package().as_bytes()).ok()?;
        let operation = Operation::InstallApplet(LoadFile { package: name, sha256: package.sha256() });
        Some(Request { card: self.id(), key_uid, operation })
    }

    /// Deletes what is there of the plan's packages, with all that their applets hold, and loads and installs them.
    ///
    /// # Errors
    /// [`InstallError::Occupied`] where a card has a PIN and `erase_owned` is not said, and [`CardError::NotRecorded`],
    /// before anything is sent; [`InstallError::Refused`], [`InstallError::Card`].
    pub fn install(
        mut self,
        plan: &Plan,
        erase_owned: bool,
        recorded: &mut [Recorded],
        progress: &mut dyn FnMut(Progress<'_>),
    ) -> Result<Installed<T>, Failed<T, InstallError>> {
        match self.carry_out(plan, erase_owned, recorded, progress) {
            Ok(()) => Ok(Installed::new(self.transport, CardId::Chip(self.chip))),
            Err(error) => Err(Failed { transport: self.transport, error }),
        }
    }

    fn carry_out(
        &mut self,
        plan: &Plan,
        erase_owned: bool,
        recorded: &mut [Recorded],
        progress: &mut dyn FnMut(Progress<'_>),
    ) -> Result<(), InstallError> {
        if !erase_owned && matches!(self.existing, Existing::Owned { .. }) {
            return Err(InstallError::Occupied);
        }
        let requests = self.requests(plan);
        if requests.len() != recorded.len() {
            return Err(CardError::Misuse { what: "each package of an installation has a record of its own" }.into());
        }
        for (request, recorded) in requests.iter().zip(recorded) {
            recorded.spend(request).map_err(CardError::from)?;
        }
        for package in plan.packages().iter().rev() {
            progress(Progress::Deleting { package: package.package() });
            self.delete(package.package())?;
        }
        for package in plan.packages() {
            self.load(package, progress)?;
            self.make_selectable(package, progress)?;
        }
        Ok(())
    }

    /// Deletes a package and its applets, if there is one.
    fn delete(&mut self, package: &Aid) -> Result<(), InstallError> {
        let name = package.as_bytes();
        let answer = self.call([0x80, 0xE4, 0x00, 0x80], &[&[0x4F], lv(name)?.as_slice()].concat())?;
        match answer.status {
            StatusWord::OK | StatusWord::NOT_REFERENCED => Ok(()),
            status => Err(InstallError::Refused { step: "DELETE", name: package.clone(), status }),
        }
    }

    fn load(&mut self, cap: &Cap, progress: &mut dyn FnMut(Progress<'_>)) -> Result<(), InstallError> {
        let package = cap.package();
        let announced = [lv(package.as_bytes())?.as_slice(), &[0; 4]].concat();
        let answer = self.call([0x80, 0xE6, 0x02, 0x00], &announced)?;
        accepted(&answer, "INSTALL [for load]", package)?;
        let blocks = cap.blocks();
        let (count, mut number) = (blocks.len(), 0u8);
        for (sent, block) in blocks.enumerate() {
            progress(Progress::Loading { package, sent, blocks: count });
            let last = if sent + 1 == count { 0x80 } else { 0x00 };
            let answer = self.call([0x80, 0xE8, last, number], block)?;
            accepted(&answer, "LOAD", package)?;
            number = number.wrapping_add(1);
        }
        progress(Progress::Loading { package, sent: count, blocks: count });
        Ok(())
    }

    /// Installs the applets of a package that make a Keycard.
    fn make_selectable(&mut self, cap: &Cap, progress: &mut dyn FnMut(Progress<'_>)) -> Result<(), InstallError> {
        for applet in cap.applets() {
            let known = [aid::KEYCARD, aid::NDEF, aid::CASH, aid::IDENT];
            let Some((_, instance)) = known.into_iter().find(|(class, _)| applet.is(class)) else { continue };
            progress(Progress::Installing { applet });
            let mut data = Vec::new();
            for name in [cap.package().as_bytes(), applet.as_bytes(), instance] {
                data.extend(lv(name)?);
            }
            data.extend([0x01, 0x00, 0x02, 0xC9, 0x00, 0x00]);
            let answer = self.call([0x80, 0xE6, 0x0C, 0x00], &data)?;
            accepted(&answer, "INSTALL", applet)?;
        }
        Ok(())
    }

    fn call(&mut self, header: [u8; 4], data: &[u8]) -> Result<Answer, CardError> {
        exchange(&mut self.transport, self.channel.wrap(header, data)?)
    }
}

/// Selects the security domain and agrees with it on a channel.
fn handshake<T: CardTransport>(
    transport: &mut T,
    rng: &mut dyn CryptoRng,
) -> Result<(Channel, [u8; 10], &'static str, Existing), InstallError> {
    let existing = look(transport)?;
    select_domain(transport)?;
    let mut challenge = [0; 8];
    rng.fill_bytes(&mut challenge);
    let answer = exchange(transport, Handshake::command(&challenge)?)?;
    let handshake = match answer.status {
        StatusWord::BLOCKED => return Err(InstallError::Locked),
        _ => Handshake::parse(challenge, &answer.success("INITIALIZE UPDATE")?)?,
    };
    let (mut channel, key) = handshake.channel()?;
    match exchange(transport, channel.authenticate()?)?.status {
        StatusWord::OK => Ok((channel, handshake.diversification, key, existing)),
        StatusWord::BLOCKED => Err(InstallError::Locked),
        status => Err(CardError::Status { command: "EXTERNAL AUTHENTICATE", status }.into()),
    }
}

/// Looks whether there is a Keycard on the card.
fn look<T: CardTransport>(transport: &mut T) -> Result<Existing, CardError> {
    use crate::error::Unsuitable::{NoApplet, NotPersonalised};
    match select::read(transport) {
        Ok(info) if info.is_initialised() => Ok(Existing::Owned { key_uid: info.key_uid }),
        Ok(_) | Err(CardError::Unsuitable(NotPersonalised)) => Ok(Existing::Blank),
        Err(CardError::Unsuitable(NoApplet)) => Ok(Existing::Nothing),
        Err(CardError::Transport(error)) => Err(CardError::Transport(error)),
        Err(_) => Ok(Existing::Owned { key_uid: None }),
    }
}

/// Selects the security domain: the card's default, or the one of GlobalPlatform's name.
fn select_domain<T: CardTransport>(transport: &mut T) -> Result<(), InstallError> {
    let default = Command::new([0x00, 0xA4, 0x04, 0x00]).with_le(0);
    let named = Command::with_body([0x00, 0xA4, 0x04, 0x00], &[&DOMAIN])?;
    for select in [default, named] {
        if exchange(transport, select)?.status == StatusWord::OK {
            return Ok(());
        }
    }
    Err(InstallError::NoSecurityDomain)
}

fn accepted(answer: &Answer, step: &'static str, name: &Aid) -> Result<(), InstallError> {
    match answer.status {
        StatusWord::OK => Ok(()),
        status => Err(InstallError::Refused { step, name: name.clone(), status }),
    }
}

/// Returns a length byte and the bytes.
fn lv(bytes: &[u8]) -> Result<Vec<u8>, CardError> {
    const TOO_LONG: CardError = CardError::Misuse { what: "a name has at most 16 bytes" };
    let length = u8::try_from(bytes.len()).map_err(|_| TOO_LONG)?;
    Ok([&[length], bytes].concat())
}

/// GlobalPlatform's name of an issuer security domain.
const DOMAIN: [u8; 8] = [0xA0, 0x00, 0x00, 0x01, 0x51, 0x00, 0x00, 0x00];

#[cfg(test)]
mod tests {
    use proto::TestDice;
    use rand_core::Rng as _;

    use super::*;
    use crate::transport::TransportError;

    const SELECT_KEYCARD: &str = "00a4040009a00000080400010101";
    const SELECT_DOMAIN: &str = "00a4040000";

    /// Answers by the command's first bytes, in order, and keeps what it was sent.
    struct Domain {
        answers: Vec<(&'static str, String)>,
        sent: Vec<String>,
    }

    impl CardTransport for Domain {
        fn transmit(&mut self, command: &[u8]) -> Result<Vec<u8>, TransportError> {
            let command = hex::encode(command);
            let (_, answer) =
                self.answers.iter().find(|(start, _)| command.starts_with(start)).ok_or(TransportError::NoCard)?;
            self.sent.push(command);
            Ok(hex::decode(answer).unwrap())
        }

        fn reset(&mut self) -> Result<(), TransportError> {
            Ok(())
        }
    }

    fn opened(answers: &[(&'static str, &str)]) -> (Result<Existing, InstallError>, Vec<String>) {
        let always = [(SELECT_KEYCARD, "6a82"), (SELECT_DOMAIN, "9000")];
        let answers = answers.iter().chain(&always).map(|(start, answer)| (*start, (*answer).to_owned())).collect();
        match SecurityDomain::open(Domain { answers, sent: Vec::new() }, &mut TestDice::seeded(1)) {
            Ok(domain) => (Ok(domain.existing()), domain.transport.sent),
            Err(failed) => (Err(failed.error), failed.transport.sent),
        }
    }

    /// The answer of a card with this key, which chose its own challenge, to the dice of [`opened`].
    fn update(key: [u8; 16]) -> String {
        let mut challenge = [0; 8];
        TestDice::seeded(1).fill_bytes(&mut challenge);
        Handshake::answer_of(key, challenge)
    }

    /// Cards lock after a few wrong EXTERNAL AUTHENTICATEs: none may be sent to one whose keys are not known.
    #[test]
    fn a_card_with_other_keys_is_never_sent_external_authenticate() {
        let answer = update([9; 16]) + "9000";
        let (result, sent) = opened(&[("8050", &answer)]);
        assert!(matches!(result, Err(InstallError::OtherKeys)));
        assert_eq!(sent.len(), 3, "SELECT twice and one INITIALIZE UPDATE: {sent:?}");
        assert!(sent.iter().all(|command| !command.starts_with("8482")));
    }

    #[test]
    fn both_known_keys_open_with_one_initialize_update() {
        let development = hex::decode("c212e073ff8b4bbfaff4de8ab655221f").unwrap().try_into().unwrap();
        for key in [development, std::array::from_fn(|at| 0x40 + at as u8)] {
            let answer = update(key) + "9000";
            let (result, sent) = opened(&[("8050", &answer), ("8482", "9000")]);
            assert_eq!(result.unwrap(), Existing::Nothing);
            assert_eq!(sent.iter().filter(|command| command.starts_with("8050")).count(), 1);
            assert_eq!(sent.iter().filter(|command| command.starts_with("8482")).count(), 1);
        }
    }

    #[test]
    fn every_way_to_be_turned_away_has_its_own_words() {
        let scp03 = "00".repeat(10) + "0103" + &"00".repeat(17) + "9000";
        let error = |answers: &[(&'static str, &str)]| opened(answers).0.unwrap_err().to_string();
        assert!(error(&[("8050", &scp03)]).contains("speaks SCP03"));
        assert!(error(&[("8050", "6983")]).contains("locked for good"));
        assert!(error(&[("00a40400", "6a82")]).contains("no security domain"));
        assert!(error(&[("8050", "6d00")]).contains("refused INITIALIZE UPDATE"));
        let right = update(std::array::from_fn(|at| 0x40 + at as u8)) + "9000";
        assert!(error(&[("8050", &right), ("8482", "6300")]).contains("refused EXTERNAL AUTHENTICATE"));
        assert!(error(&[("8050", &right), ("8482", "6983")]).contains("locked for good"));
    }

    #[test]
    fn a_keycard_that_has_an_owner_is_seen_before_anything_is_asked_of_its_security_domain() {
        let right = update(std::array::from_fn(|at| 0x40 + at as u8)) + "9000";
        let blank = hex::encode(crate::fake::select_data(0x00, None)) + "9000";
        let owned = hex::encode(crate::fake::select_data(0x13, None)) + "9000";
        for (select, existing) in [
            ("6985", Existing::Blank),
            (blank.as_str(), Existing::Blank),
            (&owned, Existing::Owned { key_uid: None }),
            ("80009000", Existing::Owned { key_uid: None }),
            ("6f00", Existing::Owned { key_uid: None }),
        ] {
            let (result, _) = opened(&[(SELECT_KEYCARD, select), ("8050", &right), ("8482", "9000")]);
            assert_eq!(result.unwrap(), existing, "{select}");
        }
    }
}

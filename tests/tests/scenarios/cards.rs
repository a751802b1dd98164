//! What the scenarios with cards share: a software card in a reader that counts, and a log that forgets.

use std::time::Duration;

use audit::{Caller, Head, Log, LogId, LogStore, Operation, Recorded, StoreError, When};
use keycard::{
    Access, Blank, Card, CardTransport, InitSecrets, Lasting, Pairing, Seed, Selected, Selection, TransportError,
    Trust, Unlocked, select,
};
use proto::{ExportPath, Instant, Pin, Puk, TestDice, UnixMillis};
use softcard::{Model, SoftCard};

/// What happens to a command on its way to the card, and to its answer on the way back.
pub(crate) type Meddling = Box<dyn FnMut(usize, &mut Vec<u8>, &mut SoftCard) -> Option<Vec<u8>>>;

/// A software card in a reader.
pub(crate) struct Reader {
    pub(crate) card: SoftCard,
    /// The instruction bytes of all that was sent since the last reset.
    pub(crate) sent: Vec<u8>,
    /// Who stands in between: gets the number of each command since the last reset, and may answer in the card's place.
    pub(crate) between: Option<Meddling>,
}

impl Reader {
    pub(crate) fn new(model: Model) -> Self {
        let card = SoftCard::in_memory(model, Box::new(TestDice::seeded(u64::from(model.version()[1]) + 1)));
        Self { card, sent: Vec::new(), between: None }
    }
}

impl CardTransport for Reader {
    fn transmit(&mut self, command: &[u8]) -> Result<Vec<u8>, TransportError> {
        let mut command = command.to_vec();
        let number = self.sent.len();
        self.sent.push(command[1]);
        if let Some(answer) = self.between.as_mut().and_then(|meddle| meddle(number, &mut command, &mut self.card)) {
            return Ok(answer);
        }
        Ok(self.card.transmit(&command))
    }

    fn reset(&mut self) -> Result<(), TransportError> {
        self.card.power_cycle();
        self.sent.clear();
        Ok(())
    }
}

pub(crate) fn dice(seed: u64) -> TestDice {
    TestDice::seeded(seed)
}

pub(crate) fn pin() -> Pin {
    Pin::try_from(b"123456".as_slice()).unwrap()
}

pub(crate) fn secrets() -> InitSecrets {
    InitSecrets::new(pin(), Puk::try_from(b"210987654321".as_slice()).unwrap(), &mut dice(7))
}

/// Takes software cards, and cards that have no certificate.
pub(crate) fn trust() -> Trust {
    Trust::nobody().with_test_authority().with_uncertified_cards()
}

pub(crate) fn blank<T: CardTransport>(transport: T) -> Card<Blank, T> {
    match select(transport) {
        Ok(Selection::Blank(card)) => card,
        Ok(Selection::Initialised(_)) => panic!("initialised"),
        Err(failed) => panic!("{failed}"),
    }
}

pub(crate) fn selected<T: CardTransport>(transport: T) -> Card<Selected, T> {
    match select(transport) {
        Ok(Selection::Initialised(card)) => card,
        Ok(Selection::Blank(_)) => panic!("blank"),
        Err(failed) => panic!("{failed}"),
    }
}

/// A card with PIN, PUK and the key of "abandon … about", and the pairing with it where its generation needs one.
pub(crate) struct Owned {
    pub(crate) reader: Reader,
    pub(crate) pairing: Option<Pairing>,
}

impl Owned {
    pub(crate) fn new(model: Model) -> Self {
        let (card, pairing) = initialised(model);
        let mut card = unlock(card, pairing.as_ref());
        let mut receipt = recorded(card.request(Operation::LoadKey));
        card.load_seed(&Seed::from_mnemonic(WORDS, "").unwrap(), &mut receipt).unwrap();
        let mut reader = card.into_transport();
        reader.reset().unwrap();
        Self { reader, pairing }
    }

    /// The access with which its owner opens the channel.
    pub(crate) fn access<'a>(pairing: Option<&'a Pairing>, trust: &'a Trust) -> Access<'a> {
        let access = Access::new(trust, [7; 32]);
        pairing.map_or(access, |pairing| access.paired(pairing))
    }
}

/// A card without a key, initialised and selected, and paired where its generation needs that.
pub(crate) fn initialised(model: Model) -> (Card<Selected, Reader>, Option<Pairing>) {
    let card = blank(Reader::new(model));
    let mut receipt = recorded(card.request(Operation::Init));
    let mut card = card.init(&trust(), &secrets(), &mut receipt, &mut dice(1)).unwrap();
    let pairing = (model < Model::V4_0).then(|| {
        let mut receipt = recorded(card.request(Operation::Pair));
        let secret = keycard::PairingSecret::from(proto::Secret::copy_from(secrets().pairing().expose()).unwrap());
        card.pair(&[secret], Lasting::Persistent, &mut receipt, &mut dice(2)).unwrap()
    });
    (card, pairing)
}

pub(crate) fn unlock(card: Card<Selected, Reader>, pairing: Option<&Pairing>) -> Card<Unlocked, Reader> {
    let trust = trust();
    card.open(&Owned::access(pairing, &trust), &mut dice(3)).unwrap().verify_pin(&pin(), false).unwrap()
}

/// Exports the private key at `path`.
pub(crate) fn export(card: &mut Card<Unlocked, Reader>, path: &ExportPath) -> String {
    let mut receipt = recorded(card.request(Operation::ExportPrivate(path.clone())));
    hex::encode(card.export_private(path, &mut receipt).unwrap().expose())
}

const WORDS: &str = "abandon abandon abandon abandon abandon abandon abandon abandon abandon abandon abandon about";

struct Forgetful;

impl LogStore for Forgetful {
    fn remember(&mut self, _: &Head) {}

    fn append_synced(&mut self, _: &[u8]) -> Result<(), StoreError> {
        Ok(())
    }
}

/// A receipt for `request` from a log that forgets.
pub(crate) fn recorded(request: audit::Request) -> Recorded {
    let when = When { unix: UnixMillis::new(0), monotonic: Instant::from_start(Duration::ZERO) };
    let caller = Caller { uid: 0, pid: None, binary: None, binary_hash: None, one_time_key: None };
    let mut log = Log::create(Forgetful, LogId::from([0; 16]), when).unwrap();
    log.intent(when, request, "chat".parse().unwrap(), caller, [0; 32]).unwrap()
}

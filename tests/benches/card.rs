//! A log-in to a card (select, channel, PIN, two exports): what the host spends beside the card.

use std::time::Duration;

use audit::{Caller, Head, Log, LogId, LogStore, Operation, StoreError, When};
use keycard::{
    Access, CardTransport, InitSecrets, Lasting, Pairing, PairingSecret, Seed, Selected, Selection, TransportError,
    Trust, select,
};
use proto::{ExportPath, Instant, Pin, Puk, Secret, UnixMillis};
use scenarios::dice::Seeded;
use softcard::{Model, SoftCard};

use crate::clock::{cpu, quantile};
use crate::row::{Row, Unit};
use crate::{Bench, Trouble};

/// Measures log-ins.
pub(crate) fn rows(bench: &mut Bench) -> Result<(), Trouble> {
    for (model, target) in [(Model::V4_0, Some(2.0)), (Model::V3_2, None)] {
        let what = format!("card log-in, host's part, applet {model}");
        if !bench.wants(&what) {
            continue;
        }
        let mut owned = Owned::new(model)?;
        let mut samples = Vec::new();
        for _ in 0..LOG_INS {
            samples.push(owned.log_in()?);
        }
        let row = Row::new(what, Unit::Ms).ours(quantile(&mut samples, 0.5));
        bench.add(target.into_iter().fold(row, Row::target));
    }
    Ok(())
}

/// The software card, and the CPU time that it took for itself.
struct Timed {
    card: SoftCard,
    spent: Duration,
}

impl CardTransport for Timed {
    fn transmit(&mut self, command: &[u8]) -> Result<Vec<u8>, TransportError> {
        let start = cpu();
        let answer = self.card.transmit(command);
        self.spent += cpu().saturating_sub(start);
        Ok(answer)
    }

    fn reset(&mut self) -> Result<(), TransportError> {
        self.card.power_cycle();
        Ok(())
    }
}

/// A card with a PIN and a key, and the pairing with it where its generation needs one.
struct Owned {
    reader: Option<Timed>,
    pairing: Option<Pairing>,
    trust: Trust,
    dice: Seeded,
}

impl Owned {
    fn new(model: Model) -> Result<Self, Trouble> {
        let (trust, mut dice) = (Trust::nobody().with_test_authority(), Seeded::new(1));
        let card = SoftCard::in_memory(model, Box::new(Seeded::new(2)));
        let Selection::Blank(card) = select(Timed { card, spent: Duration::ZERO })? else {
            return Err("a new card is initialised".into());
        };
        let secrets = InitSecrets::new(pin()?, Puk::try_from(b"210987654321".as_slice())?, &mut dice);
        let mut receipt = recorded(card.request(Operation::Init))?;
        let mut card = card.init(&trust, &secrets, &mut receipt, &mut dice)?;
        let mut pairing = None;
        if model < Model::V4_0 {
            let secret = PairingSecret::from(Secret::fill(|room| *room = *secrets.pairing().expose()));
            let mut receipt = recorded(card.request(Operation::Pair))?;
            pairing = Some(card.pair(&[secret], Lasting::Persistent, &mut receipt, &mut dice)?);
        }
        let mut owned = Self { reader: None, pairing, trust, dice };
        let mut card = owned.unlock(card)?;
        let mut receipt = recorded(card.request(Operation::LoadKey))?;
        card.load_seed(&Seed::from_bytes(&[7; 64]), &mut receipt)?;
        owned.reader = Some(card.into_transport());
        Ok(owned)
    }

    fn unlock(
        &mut self,
        card: keycard::Card<Selected, Timed>,
    ) -> Result<keycard::Card<keycard::Unlocked, Timed>, Trouble> {
        let mut access = Access::new(&self.trust, [7; 32]);
        if let Some(pairing) = &self.pairing {
            access = access.paired(pairing);
        }
        let card = card.open(&access, &mut self.dice)?;
        Ok(card.verify_pin(&pin()?, false).map_err(|error| error.to_string())?)
    }

    /// Returns the milliseconds that the host spent.
    fn log_in(&mut self) -> Result<f64, Trouble> {
        let mut reader = self.reader.take().ok_or("the card is lost")?;
        reader.reset()?;
        reader.spent = Duration::ZERO;
        let start = cpu();
        let Selection::Initialised(card) = select(reader)? else { return Err("the card is blank".into()) };
        let mut card = self.unlock(card)?;
        for path in [ExportPath::chat(), ExportPath::database()] {
            let mut receipt = recorded(card.request(Operation::ExportPrivate(path.clone())))?;
            std::hint::black_box(card.export_private(&path, &mut receipt)?);
        }
        let reader = card.into_transport();
        let host = cpu().saturating_sub(start).saturating_sub(reader.spent);
        self.reader = Some(reader);
        Ok(host.as_secs_f64() * 1e3)
    }
}

fn pin() -> Result<Pin, Trouble> {
    Ok(Pin::try_from(b"123456".as_slice())?)
}

/// A receipt for `request` from a log that forgets: writing one down is the disk's time.
fn recorded(request: audit::Request) -> Result<audit::Recorded, Trouble> {
    let when = When { unix: UnixMillis::new(0), monotonic: Instant::from_start(Duration::ZERO) };
    let caller = Caller { uid: 0, pid: None, binary: None, binary_hash: None, one_time_key: None };
    let mut log = Log::create(Forgetful, LogId::from([0; 16]), when)?;
    Ok(log.intent(when, request, "chat".parse()?, caller, [0; 32])?)
}

struct Forgetful;

impl LogStore for Forgetful {
    fn remember(&mut self, _: &Head) {}

    fn append_synced(&mut self, _: &[u8]) -> Result<(), StoreError> {
        Ok(())
    }
}

const LOG_INS: usize = 200;

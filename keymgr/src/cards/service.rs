//! The local API for cards (`proto/schema/local/cards.proto`): checks who asks, opens what is sealed, and asks the worker.

use audit::{DataSlot, LogStore};
use keycard::{CardTransport, ExtendedSecret, Mnemonic, NdefRecord, Seed};
use proto::rpc::api::cards_server::Cards;
use proto::rpc::api::{
    AccountRange, Bip85Request, CardAccess, CardDescription, CardDone, CardIdentity, CardSlot, CashReply, CashRequest,
    ChallengeReply, ChallengeRequest, ChangeRequest, DataReply, DataRequest, DeriveRequest, DescribeRequest,
    DuressRequest, EcdhRequest, ExportPairingsReply, ExportPairingsRequest, ImportPairingsReply, ImportPairingsRequest,
    InitRequest, InstallReply, InstallRequest, KnownCard, LabelRequest, LeeRequest, LendReply, LendRequest,
    LoadKeyReply, LoadKeyRequest, MnemonicReply, MnemonicRequest, NdefEntry, NdefText, PairReply, PairRequest,
    PinlessRequest, PublicKeyReply, PublicKeyRequest, ResetReply, ResetRequest, Sealed, SecretReply, SetDataRequest,
    SignReply, SignRequest, StatusMetadata, TakeBackReply, TakeBackRequest, UnblockRequest, UnpairReply, UnpairRequest,
    change_request, load_key_request, ndef_entry, set_data_request, unpair_request,
};
use proto::rpc::seal;
use proto::{Digest, Fingerprint, Pin, Puk, Secret};
use tonic::{Request, Response, Status};
use zeroize::Zeroizing;

use crate::broker::Broker;
use crate::caller::Asker;
use crate::cards::access::Access;
use crate::cards::cash::CashSaid;
use crate::cards::change::{Change, Unblocking};
use crate::cards::init::{Done, Initialising};
use crate::cards::install::{Installation, Issuer};
use crate::cards::key::Source;
use crate::cards::known::Known;
use crate::cards::label::Remember;
use crate::cards::pair::{Form, Pairing, Which};
use crate::cards::slot::Content;
use crate::cards::vouch::Contact;
use crate::service::{Service, bad_input, one_time, pin_of, some, target_of};

impl<T, S> Service<T, S>
where
    T: CardTransport + Send + 'static,
    S: LogStore + Send + 'static,
{
    pub(crate) fn access(&self, access: Option<CardAccess>) -> Result<Access, Status> {
        let CardAccess { target, pin, last_try, confirm, first_pairing } = access.unwrap_or_default();
        let pin = pin.map(|pin| pin_of(&self.open(seal::PIN, Some(&pin))?)).transpose()?;
        let contact = Contact { confirm: some(confirm), first_pairing };
        Ok(Access { target: target_of(target), contact, pin, last_try })
    }

    fn pin(&self, context: &'static str, sealed: Option<&Sealed>) -> Result<Pin, Status> {
        pin_of(&self.open(context, sealed)?)
    }

    fn puk(&self, context: &'static str, sealed: Option<&Sealed>) -> Result<Puk, Status> {
        Puk::try_from(self.open(context, sealed)?.as_slice()).map_err(|error| bad_input(format!("the PUK: {error}")))
    }

    fn text(&self, context: &'static str, sealed: &Sealed) -> Result<Zeroizing<String>, Status> {
        let bytes = self.open(context, Some(sealed))?;
        let text = std::str::from_utf8(&bytes).map_err(|_| bad_input(format!("the {context} is no text")))?;
        Ok(Zeroizing::new(text.to_owned()))
    }

    fn source(&self, request: &LoadKeyRequest) -> Result<Source, Status> {
        let passphrase = request.passphrase.as_ref().map(|sealed| self.text(seal::PASSPHRASE, sealed)).transpose()?;
        let given = passphrase.is_some();
        let passphrase = passphrase.unwrap_or_default();
        let seed_of = |bytes: &[u8]| Seed::from_slice(bytes).map_err(|error| bad_input(error.to_string()));
        let words = |sealed: &Sealed| -> Result<Mnemonic, Status> {
            Mnemonic::parse(&self.text(seal::MNEMONIC, sealed)?).map_err(|error| bad_input(error.to_string()))
        };
        let lee = request.lee;
        Ok(match &request.key {
            Some(load_key_request::Key::Mnemonic(sealed)) if lee => Source::Lee(words(sealed)?.to_seed(&passphrase)),
            Some(load_key_request::Key::Mnemonic(sealed)) => Source::Words(words(sealed)?, passphrase),
            Some(load_key_request::Key::Seed(sealed)) if !given => {
                let seed = seed_of(&self.open(seal::SEED, Some(sealed))?)?;
                if lee { Source::Lee(seed) } else { Source::Seed(seed) }
            }
            Some(load_key_request::Key::KeyPair(sealed)) if !lee && !given => {
                let bytes = self.open(seal::KEY, Some(sealed))?;
                let (key, chain_code) = bytes.split_at_checked(32).ok_or_else(no_key)?;
                let key = Secret::copy_from(key).ok_or_else(no_key)?;
                match Secret::copy_from(chain_code) {
                    Some(chain_code) => Source::Extended(ExtendedSecret { key, chain_code }),
                    None if chain_code.is_empty() => Source::KeyPair(key),
                    None => return Err(no_key()),
                }
            }
            Some(load_key_request::Key::Generate(true)) if !lee && !given => Source::Generate,
            None | Some(load_key_request::Key::Generate(false)) => {
                return Err(bad_input("say where the key comes from: generate, words, a seed, or a key pair"));
            }
            Some(_) => return Err(bad_input("a passphrase belongs to words, and LEE to words or a seed")),
        })
    }
}

#[tonic::async_trait]
impl<T, S> Cards for Service<T, S>
where
    T: CardTransport + Send + 'static,
    S: LogStore + Send + 'static,
{
    async fn describe(&self, request: Request<DescribeRequest>) -> Result<Response<CardDescription>, Status> {
        let target = target_of(request.into_inner().target);
        Ok(Response::new(self.ask(move |broker| broker.describe(&target)).await?))
    }

    async fn verify_identity(&self, request: Request<DescribeRequest>) -> Result<Response<CardIdentity>, Status> {
        let target = target_of(request.into_inner().target);
        Ok(Response::new(self.ask(move |broker| broker.verify_identity(&target)).await?))
    }

    async fn init(&self, request: Request<InitRequest>) -> Result<Response<CardDone>, Status> {
        let asker = Asker::of(&request)?;
        let request = request.into_inner();
        let tries = (small(request.pin_tries, "PIN tries")?, small(request.puk_tries, "PUK tries")?);
        let initialising = Initialising {
            target: target_of(request.target),
            contact: Contact { confirm: some(request.confirm), first_pairing: request.first_pairing },
            pin: self.pin(seal::PIN, request.pin.as_ref())?,
            puk: self.puk(seal::PUK, request.puk.as_ref())?,
            duress: request.duress.map(|sealed| self.pin(seal::DURESS_PIN, Some(&sealed))).transpose()?,
            tries,
            pairing_password: request
                .pairing_password
                .map(|sealed| self.text(seal::PAIRING_PASSWORD, &sealed))
                .transpose()?,
        };
        let why = self.why(asker, "card init", None).await?;
        self.ask(move |broker| broker.card_init(initialising, &why)).await.map(done)
    }

    async fn change(&self, request: Request<ChangeRequest>) -> Result<Response<CardDone>, Status> {
        let asker = Asker::of(&request)?;
        let ChangeRequest { access, what } = request.into_inner();
        let access = self.access(access)?;
        let (change, purpose) = match what {
            Some(change_request::What::Pin(sealed)) => {
                (Change::Pin(self.pin(seal::NEW_PIN, Some(&sealed))?), "card pin change")
            }
            Some(change_request::What::Puk(sealed)) => {
                (Change::Puk(self.puk(seal::NEW_PUK, Some(&sealed))?), "card puk change")
            }
            Some(change_request::What::PairingPassword(sealed)) => {
                let password = self.text(seal::PAIRING_PASSWORD, &sealed)?;
                (Change::PairingSecret(Some(password)), "card pairings password")
            }
            Some(change_request::What::PairingRandom(true)) => (Change::PairingSecret(None), "card pairings password"),
            Some(change_request::What::PairingRandom(false)) | None => return Err(bad_input("say what to change")),
        };
        let why = self.why(asker, purpose, None).await?;
        self.ask(move |broker| broker.card_change(access, change, &why)).await.map(done)
    }

    async fn unblock(&self, request: Request<UnblockRequest>) -> Result<Response<CardDone>, Status> {
        let asker = Asker::of(&request)?;
        let UnblockRequest { access, puk, new_pin } = request.into_inner();
        let Access { target, contact, pin: _, last_try } = self.access(access)?;
        let puk = self.puk(seal::PUK, puk.as_ref())?;
        let new_pin = self.pin(seal::NEW_PIN, new_pin.as_ref())?;
        let unblocking = Unblocking { target, contact, puk, new_pin, last_try };
        let why = self.why(asker, "card pin unblock", None).await?;
        self.ask(move |broker| broker.card_unblock(unblocking, &why)).await.map(done)
    }

    async fn pair(&self, request: Request<PairRequest>) -> Result<Response<PairReply>, Status> {
        let asker = Asker::of(&request)?;
        let PairRequest { access, password } = request.into_inner();
        let Access { target, contact, .. } = self.access(access)?;
        let password = password.map(|sealed| self.text(seal::PAIRING_PASSWORD, &sealed)).transpose()?;
        let why = self.why(asker, "card pair", None).await?;
        let pairing = Pairing { target, contact, password };
        let paired = self.ask(move |broker| broker.card_pair(pairing, &why)).await?;
        Ok(Response::new(PairReply {
            done: Some(paired.done.into()),
            slot: paired.slot.into(),
            free_slots: paired.free_slots.into(),
            well_known: paired.well_known,
        }))
    }

    async fn unpair(&self, request: Request<UnpairRequest>) -> Result<Response<UnpairReply>, Status> {
        let asker = Asker::of(&request)?;
        let UnpairRequest { access, which } = request.into_inner();
        let which = match which {
            Some(unpair_request::Which::Slot(slot)) => Which::Slot(small(slot, "slot")?),
            Some(unpair_request::Which::Others(true)) => Which::Others,
            Some(unpair_request::Which::Ours(true)) => Which::Ours,
            _ => return Err(bad_input("say which pairing: a slot, the others, or ours")),
        };
        let access = self.access(access)?;
        let why = self.why(asker, "card unpair", None).await?;
        let unpaired = self.ask(move |broker| broker.card_unpair(access, which, &why)).await?;
        Ok(Response::new(UnpairReply { done: Some(unpaired.done.into()), free_slots: unpaired.free_slots.into() }))
    }

    async fn load_key(&self, request: Request<LoadKeyRequest>) -> Result<Response<LoadKeyReply>, Status> {
        let asker = Asker::of(&request)?;
        let mut request = request.into_inner();
        let access = self.access(request.access.take())?;
        let source = self.source(&request)?;
        let why = self.why(asker, "card key", None).await?;
        let done = self.ask(move |broker| broker.card_load_key(access, source, &why)).await?;
        Ok(Response::new(LoadKeyReply { done: Some(done.into()) }))
    }

    async fn remove_key(&self, request: Request<CardAccess>) -> Result<Response<CardDone>, Status> {
        let asker = Asker::of(&request)?;
        let access = self.access(Some(request.into_inner()))?;
        let why = self.why(asker, "card key remove", None).await?;
        self.ask(move |broker| broker.card_remove_key(access, &why)).await.map(done)
    }

    async fn public_key(&self, request: Request<PublicKeyRequest>) -> Result<Response<PublicKeyReply>, Status> {
        self.show_public_key(request).await
    }

    async fn mnemonic(&self, request: Request<MnemonicRequest>) -> Result<Response<MnemonicReply>, Status> {
        let asker = Asker::of(&request)?;
        let MnemonicRequest { access, words, caller } = request.into_inner();
        let access = self.access(access)?;
        let caller = one_time(&caller)?;
        let words = small(words, "words")?;
        let why = self.why(asker, "card mnemonic", Some(caller.to_compressed())).await?;
        let (done, mnemonic) =
            self.ask(move |broker| broker.card_mnemonic(&access.target, &access.contact, words, &caller, &why)).await?;
        Ok(Response::new(MnemonicReply { done: Some(done.into()), mnemonic: Some(mnemonic) }))
    }

    async fn sign(&self, request: Request<SignRequest>) -> Result<Response<SignReply>, Status> {
        self.sign_hash(request).await
    }

    async fn ecdh(&self, request: Request<EcdhRequest>) -> Result<Response<SecretReply>, Status> {
        self.agree(request).await
    }

    async fn derive(&self, request: Request<DeriveRequest>) -> Result<Response<SecretReply>, Status> {
        self.derived(request).await
    }

    async fn bip85(&self, request: Request<Bip85Request>) -> Result<Response<SecretReply>, Status> {
        self.entropy(request).await
    }

    async fn lee(&self, request: Request<LeeRequest>) -> Result<Response<SecretReply>, Status> {
        self.lee_keys(request).await
    }

    async fn pinless(&self, request: Request<PinlessRequest>) -> Result<Response<CardDone>, Status> {
        self.set_pinless(request).await
    }

    async fn challenge(&self, request: Request<ChallengeRequest>) -> Result<Response<ChallengeReply>, Status> {
        let ChallengeRequest { access, length } = request.into_inner();
        let Access { target, contact, .. } = self.access(access)?;
        let length = small(length, "length")?;
        let random = self.ask(move |broker| broker.card_challenge(&target, &contact, length)).await?;
        Ok(Response::new(ChallengeReply { random }))
    }

    async fn data(&self, request: Request<DataRequest>) -> Result<Response<DataReply>, Status> {
        let request = request.into_inner();
        let slot = slot_of(request.slot())?;
        let Access { target, contact, .. } = self.access(request.access)?;
        let data = self.ask(move |broker| broker.card_data(&target, &contact, slot)).await?;
        let metadata = data.metadata.map(|(name, accounts)| StatusMetadata {
            name,
            accounts: accounts.iter().map(|range| AccountRange { first: *range.start(), last: *range.end() }).collect(),
        });
        let records = data.records.into_iter().map(|record| NdefEntry { record: Some(record_from(record)) }).collect();
        Ok(Response::new(DataReply { data: data.bytes, metadata, records }))
    }

    async fn set_data(&self, request: Request<SetDataRequest>) -> Result<Response<CardDone>, Status> {
        let asker = Asker::of(&request)?;
        let request = request.into_inner();
        let slot = slot_of(request.slot())?;
        let access = self.access(request.access)?;
        let content = match request.content {
            Some(set_data_request::Content::Data(data)) => Content::Bytes(data),
            Some(set_data_request::Content::Metadata(StatusMetadata { name, accounts })) => {
                Content::Metadata(name, numbers(&accounts)?)
            }
            Some(set_data_request::Content::Record(NdefEntry { record: Some(record) })) => {
                Content::Record(record_of(record))
            }
            _ => return Err(bad_input("say what to write")),
        };
        let why = self.why(asker, "card data", None).await?;
        self.ask(move |broker| broker.card_set_data(access, slot, content, &why)).await.map(done)
    }

    async fn cash(&self, request: Request<CashRequest>) -> Result<Response<CashReply>, Status> {
        let asker = Asker::of(&request)?;
        let CashRequest { target, hash } = request.into_inner();
        let target = target_of(target);
        let hash = if hash.is_empty() { None } else { Some(digest(&hash, "hash")?) };
        let why = self.why(asker, "card cash", None).await?;
        let CashSaid { info, signed } = self.ask(move |broker| broker.card_cash(&target, hash, &why)).await?;
        Ok(Response::new(CashReply {
            applet: info.version.to_string(),
            public_key: info.key.to_bytes().to_vec(),
            data: info.data,
            signature: signed.map(|(signature, _)| signature.as_bytes().to_vec()).unwrap_or_default(),
            log_entry: signed.map_or(0, |(_, entry)| entry),
        }))
    }

    async fn install(&self, request: Request<InstallRequest>) -> Result<Response<InstallReply>, Status> {
        let asker = Asker::of(&request)?;
        let InstallRequest { target, caps, ca_key, test_ca, erase_owned } = request.into_inner();
        let issuer = match (ca_key, test_ca) {
            (None, false) => Issuer::Nobody,
            (None, true) => Issuer::Test,
            (Some(sealed), false) => Issuer::Key(self.open(seal::KEY, Some(&sealed))?),
            (Some(_), true) => return Err(bad_input("the identity of a card is signed by one authority")),
        };
        let installation =
            Installation { target: target_of(target), files: caps, issuer, erase_owned: some(erase_owned) };
        let why = self.why(asker, "card install", None).await?;
        let issued = self.ask(move |broker| broker.card_install(installation, &why)).await?;
        Ok(Response::new(InstallReply {
            card: issued.card.to_string(),
            fingerprint: issued.fingerprint.map(|it| it.to_string()).unwrap_or_default(),
            domain_key: issued.domain_key.to_owned(),
            authority: issued.authority.unwrap_or_default(),
            log_entry: issued.entry,
        }))
    }

    async fn reset(&self, request: Request<ResetRequest>) -> Result<Response<ResetReply>, Status> {
        let asker = Asker::of(&request)?;
        let ResetRequest { target, id } = request.into_inner();
        let target = target_of(target);
        let why = self.why(asker, "card reset", None).await?;
        let reset = self.ask(move |broker| broker.card_reset(&target, &id, &why)).await?;
        Ok(Response::new(ResetReply {
            card_before: reset.before.to_string(),
            key_uid_before: reset.key_uid_before.map(|uid| uid.to_string()).unwrap_or_default(),
            card: reset.after.to_string(),
            blank: true,
            log_entry: reset.entry,
        }))
    }

    async fn label(&self, request: Request<LabelRequest>) -> Result<Response<KnownCard>, Status> {
        let asker = Asker::of(&request)?;
        let LabelRequest { target, label, forget, confirm } = request.into_inner();
        let target = target_of(target);
        let contact = Contact { confirm: some(confirm), first_pairing: false };
        let what = match (forget, label) {
            (true, _) => Remember::Forget,
            (false, Some(label)) => Remember::Label(some(label)),
            (false, None) => Remember::Nothing,
        };
        let why = self.why(asker, "card settings", None).await?;
        self.ask(move |broker| broker.remember(&target, &contact, what, &why))
            .await
            .map(|known| Response::new(known.into()))
    }

    async fn duress(&self, request: Request<DuressRequest>) -> Result<Response<KnownCard>, Status> {
        let asker = Asker::of(&request)?;
        let DuressRequest { target, mode, confirm } = request.into_inner();
        let target = target_of(target);
        let contact = Contact { confirm: some(confirm), first_pairing: false };
        let what = match some(mode) {
            Some(mode) => Remember::Duress(mode.parse().map_err(bad_input)?),
            None => Remember::Nothing,
        };
        let why = self.why(asker, "card settings", None).await?;
        self.ask(move |broker| broker.remember(&target, &contact, what, &why))
            .await
            .map(|known| Response::new(known.into()))
    }

    async fn import_pairings(
        &self,
        request: Request<ImportPairingsRequest>,
    ) -> Result<Response<ImportPairingsReply>, Status> {
        let asker = Asker::of(&request)?;
        let ImportPairingsRequest { target, pairings, mobile } = request.into_inner();
        let target = target_of(target);
        let text = self.open(seal::PAIRINGS, pairings.as_ref())?;
        let why = self.why(asker, "card pairings import", None).await?;
        let cards = self.ask(move |broker| broker.import_pairings(&target, form(mobile), &text, &why)).await?;
        Ok(Response::new(ImportPairingsReply { cards: cards.iter().map(ToString::to_string).collect() }))
    }

    async fn export_pairings(
        &self,
        request: Request<ExportPairingsRequest>,
    ) -> Result<Response<ExportPairingsReply>, Status> {
        let asker = Asker::of(&request)?;
        let ExportPairingsRequest { target, all, mobile, caller } = request.into_inner();
        let target = (!all).then(|| target_of(target));
        let caller = one_time(&caller)?;
        let why = self.why(asker, "card pairings export", Some(caller.to_compressed())).await?;
        let export =
            move |broker: &mut Broker<T, S>| broker.export_pairings(target.as_ref(), form(mobile), &caller, &why);
        let pairings = self.ask(export).await?;
        Ok(Response::new(ExportPairingsReply { pairings: Some(pairings) }))
    }

    async fn lend(&self, request: Request<LendRequest>) -> Result<Response<LendReply>, Status> {
        let asker = Asker::of(&request)?;
        let LendRequest { target, seconds, purpose } = request.into_inner();
        let target = target_of(target);
        let seconds = u32::try_from(seconds).unwrap_or(u32::MAX);
        let why = self.why(asker, &purpose, None).await?;
        let lent = self.ask(move |broker| broker.lend(&target, seconds, &why)).await?;
        Ok(Response::new(LendReply {
            reader: lent.reader,
            card: lent.card.map(|card| card.to_string()).unwrap_or_default(),
            seconds: lent.seconds.into(),
        }))
    }

    async fn take_back(&self, request: Request<TakeBackRequest>) -> Result<Response<TakeBackReply>, Status> {
        let asker = Asker::of(&request)?;
        let target = target_of(request.into_inner().target);
        let why = self.why(asker, "take back", None).await?;
        let returned = self.ask(move |broker| broker.take_back(&target, &why)).await?;
        Ok(Response::new(TakeBackReply {
            reader: returned.reader,
            card: returned.card.map(|card| card.to_string()).unwrap_or_default(),
            changes: returned.changes,
        }))
    }
}

impl From<Done> for CardDone {
    fn from(done: Done) -> Self {
        let Done { card, key_uid, entry, warnings } = done;
        let key_uid = key_uid.map(|uid| uid.to_string()).unwrap_or_default();
        Self { card: card.to_string(), key_uid, log_entry: entry, warnings }
    }
}

impl From<Known> for KnownCard {
    fn from(known: Known) -> Self {
        let compared = known.identity.or(known.channel);
        Self {
            card: known.card.to_string(),
            label: known.label.unwrap_or_default(),
            duress: known.duress.name().to_owned(),
            generation: known.generation.name().to_owned(),
            key_uid: known.key_uid.map(|uid| uid.to_string()).unwrap_or_default(),
            fingerprint: compared.map(|key| Fingerprint::of(&key).to_string()).unwrap_or_default(),
        }
    }
}

fn no_key() -> Status {
    bad_input("a private key has 32 bytes, or 64 with its chain code")
}

pub(super) fn done(done: Done) -> Response<CardDone> {
    Response::new(done.into())
}

pub(super) fn small(number: u32, what: &str) -> Result<u8, Status> {
    u8::try_from(number).map_err(|_| bad_input(format!("too many {what}")))
}

pub(super) fn digest(bytes: &[u8], what: &str) -> Result<Digest, Status> {
    Digest::try_from(bytes).map_err(|_| bad_input(format!("a {what} has 32 bytes")))
}

/// Returns the numbers of a few ranges: a slot has no room for many.
fn numbers(ranges: &[AccountRange]) -> Result<Vec<u32>, Status> {
    let mut numbers = Vec::new();
    for AccountRange { first, last } in ranges {
        if last.saturating_sub(*first) > MOST_ACCOUNTS || numbers.len() > MOST_ACCOUNTS as usize {
            return Err(bad_input("more accounts than a card's slot holds"));
        }
        numbers.extend(*first..=*last);
    }
    Ok(numbers)
}

fn record_from(record: NdefRecord) -> ndef_entry::Record {
    match record {
        NdefRecord::Uri(uri) => ndef_entry::Record::Uri(uri),
        NdefRecord::Text { language, text } => ndef_entry::Record::Text(NdefText { language, text }),
        NdefRecord::Other { payload, .. } => ndef_entry::Record::Other(payload),
    }
}

fn record_of(record: ndef_entry::Record) -> NdefRecord {
    match record {
        ndef_entry::Record::Uri(uri) => NdefRecord::Uri(uri),
        ndef_entry::Record::Text(NdefText { language, text }) => NdefRecord::Text { language, text },
        // Of a type that no phone knows (NFC Forum, TNF 5).
        ndef_entry::Record::Other(payload) => NdefRecord::Other { format: 5, kind: Vec::new(), payload },
    }
}

const MOST_ACCOUNTS: u32 = 10_000;

const fn form(mobile: bool) -> Form {
    if mobile { Form::Mobile } else { Form::Desktop }
}

fn slot_of(slot: CardSlot) -> Result<DataSlot, Status> {
    Ok(match slot {
        CardSlot::Public => DataSlot::Public,
        CardSlot::Ndef => DataSlot::Ndef,
        CardSlot::Cash => DataSlot::Cash,
    })
}

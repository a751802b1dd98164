//! The calls that use a key: those of clients too. The policy decides on each, and its owner where that is said.

use audit::{Asked, Bip85, LogStore, Operation};
use keycard::CardTransport;
use proto::rpc::api::{
    Bip85Request, CardAccess, CardDone, DeriveRequest, EcdhRequest, LeeRequest, PinlessRequest, PublicKeyReply,
    PublicKeyRequest, Sealed, SecretReply, SignReply, SignRequest,
};
use proto::{ChatKey, Fingerprint};
use tonic::{Request, Response, Status};

use crate::approval::Wish;
use crate::caller::Asker;
use crate::cards::access::Access;
use crate::cards::service::{digest, done, small};
use crate::cards::uses::{Deriving, Signing};
use crate::export::asked_public;
use crate::policy::{Question, Use};
use crate::service::{Service, bad_input, one_time, path_of, some, status};

impl<T, S> Service<T, S>
where
    T: CardTransport + Send + 'static,
    S: LogStore + Send + 'static,
{
    /// Returns the card that is meant and what opens it. A client has no PIN to give and vouches for nothing: it uses what
    /// its owner unlocked.
    fn access_of(&self, asker: &Asker, access: Option<CardAccess>) -> Result<Access, Status> {
        let bare = access.as_ref().is_none_or(|access| {
            access.pin.is_none() && access.confirm.is_empty() && !access.first_pairing && !access.last_try
        });
        if !bare && !self.is_owner(asker) {
            return Err(proto::rpc::Fault::Refused.status(
                "only the owner of this key manager gives a PIN or vouches for a card; it is unlocked with `cardinal unlock`",
            ));
        }
        self.access(access)
    }

    pub(super) async fn show_public_key(
        &self,
        request: Request<PublicKeyRequest>,
    ) -> Result<Response<PublicKeyReply>, Status> {
        let asker = Asker::of(&request)?;
        let PublicKeyRequest { access, path, extended, purpose, caller } = request.into_inner();
        let access = self.access_of(&asker, access)?;
        let path = path_of(&path)?;
        let caller = extended.then(|| one_time(&caller)).transpose()?;
        let why = self.why(asker, &purpose, caller.map(|key| key.to_compressed())).await?;
        let wish = Wish::by(asked_public(path.clone(), extended), &access);
        let exported = self
            .ask_for(wish, why, move |broker, why| broker.card_public_key(access, path, caller.as_ref(), why))
            .await?;
        Ok(Response::new(PublicKeyReply {
            public_key: exported.key.to_bytes().to_vec(),
            chain_code: exported.chain_code,
            fingerprint: Fingerprint::of(&exported.key).to_string(),
            log_entry: exported.entry,
        }))
    }

    pub(super) async fn sign_hash(&self, request: Request<SignRequest>) -> Result<Response<SignReply>, Status> {
        let asker = Asker::of(&request)?;
        let SignRequest { access, path, hash, schnorr, tweak, purpose } = request.into_inner();
        let access = self.access_of(&asker, access)?;
        let tweak = if tweak.is_empty() { None } else { Some(digest(&tweak, "tweak")?) };
        let signing = Signing { path: path_of(&path)?, hash: digest(&hash, "hash")?, schnorr, tweak };
        let why = self.why(asker, &purpose, None).await?;
        let recorded = signing.recorded().map_err(|error| status(&error))?;
        let wish = Wish::by(Asked::Operation(Operation::Sign(recorded)), &access);
        let signed = self.ask_for(wish, why, move |broker, why| broker.card_sign(access, signing, why)).await?;
        Ok(Response::new(SignReply {
            signature: signed.signature,
            public_key: signed.key.to_bytes().to_vec(),
            log_entry: signed.entry,
        }))
    }

    pub(super) async fn agree(&self, request: Request<EcdhRequest>) -> Result<Response<SecretReply>, Status> {
        let asker = Asker::of(&request)?;
        let EcdhRequest { access, path, peer: other, purpose, caller } = request.into_inner();
        let access = self.access_of(&asker, access)?;
        let path = path_of(&path)?;
        let other = ChatKey::try_from(other.as_slice())
            .map_err(|_| bad_input("the other key is no point of secp256k1; nothing was asked of the card"))?;
        let caller = one_time(&caller)?;
        let why = self.why(asker, &purpose, Some(caller.to_compressed())).await?;
        let agreement = audit::Agreement { path: path.clone(), peer: Fingerprint::of(&other) };
        // The log names the other key by its fingerprint; whoever approves compares the whole of it.
        let detail = Some(format!("whose public key is {}", hex::encode(other.to_compressed())));
        let wish = Wish { detail, ..Wish::by(Asked::Operation(Operation::Ecdh(agreement)), &access) };
        self.ask_for(wish, why, move |broker, why| broker.card_ecdh(access, path, &other, &caller, why))
            .await
            .map(secret)
    }

    pub(super) async fn derived(&self, request: Request<DeriveRequest>) -> Result<Response<SecretReply>, Status> {
        let asker = Asker::of(&request)?;
        let DeriveRequest { access, path, name, length, purpose, caller } = request.into_inner();
        let access = self.access_of(&asker, access)?;
        let (path, length, caller) = (path_of(&path)?, small(length, "length")?, one_time(&caller)?);
        let deriving = Deriving::new(path, &name, length).map_err(bad_input)?;
        let why = self.why(asker, &purpose, Some(caller.to_compressed())).await?;
        let asked = Asked::Operation(Operation::Ecdh(deriving.agreement()));
        let question = Ok(Question { operation: Use::Derive, path: deriving.path().clone() });
        let detail = Some(format!("from which {length} bytes named {name:?} are derived"));
        let wish = Wish { detail, question, ..Wish::by(asked, &access) };
        self.ask_for(wish, why, move |broker, why| broker.card_derive(access, deriving, &caller, why)).await.map(secret)
    }

    pub(super) async fn entropy(&self, request: Request<Bip85Request>) -> Result<Response<SecretReply>, Status> {
        let asker = Asker::of(&request)?;
        let Bip85Request { access, path, length, purpose, caller } = request.into_inner();
        let access = self.access_of(&asker, access)?;
        let (path, length, caller) = (path_of(&path)?, small(length, "length")?, one_time(&caller)?);
        let why = self.why(asker, &purpose, Some(caller.to_compressed())).await?;
        let entropy = Bip85 { path: path.clone(), bytes: length };
        let wish = Wish::by(Asked::Operation(Operation::ExportBip85(entropy)), &access);
        self.ask_for(wish, why, move |broker, why| broker.card_bip85(access, path, length, &caller, why))
            .await
            .map(secret)
    }

    pub(super) async fn lee_keys(&self, request: Request<LeeRequest>) -> Result<Response<SecretReply>, Status> {
        let asker = Asker::of(&request)?;
        let LeeRequest { access, path, purpose, caller } = request.into_inner();
        let access = self.access_of(&asker, access)?;
        let (path, caller) = (path_of(&path)?, one_time(&caller)?);
        let why = self.why(asker, &purpose, Some(caller.to_compressed())).await?;
        let wish = Wish::by(Asked::Operation(Operation::ExportLee(path.clone())), &access);
        self.ask_for(wish, why, move |broker, why| broker.card_lee(access, path, &caller, why)).await.map(secret)
    }

    pub(super) async fn set_pinless(&self, request: Request<PinlessRequest>) -> Result<Response<CardDone>, Status> {
        let asker = Asker::of(&request)?;
        let PinlessRequest { access, path, purpose } = request.into_inner();
        let access = self.access_of(&asker, access)?;
        let path = some(path).map(|path| path_of(&path)).transpose()?;
        let why = self.why(asker, &purpose, None).await?;
        let Some(set) = path.clone() else {
            return self.ask(move |broker| broker.card_pinless(access, None, &why)).await.map(done);
        };
        let wish = Wish::by(Asked::Operation(Operation::SetPinlessPath(set)), &access);
        self.ask_for(wish, why, move |broker, why| broker.card_pinless(access, path, why)).await.map(done)
    }
}

fn secret((secret, log_entry): (Sealed, u64)) -> Response<SecretReply> {
    Response::new(SecretReply { secret: Some(secret), log_entry })
}

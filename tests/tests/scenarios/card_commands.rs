//! Every command inside the channel, client against software card, in each version that knows it; and that the others are
//! not even asked.

use audit::{Agreement, Bip85, DataSlot, Operation, Scheme, Signing};
use keycard::{
    Card, CardError, CardTransport as _, ExtendedSecret, KnownKeys, Metadata, NdefRecord, PairingSecret, Seed, Signed,
    UnblockError, Unlocked, VerifyError,
};
use proto::{ChatKey, Digest, ExportPath, Fingerprint, KeyPath, KeyPlace, Pin, Puk, RecoverableSignature, Secret};
use softcard::Model;

use crate::cards::{Owned, Reader, dice, initialised, pin, recorded, secrets, selected, trust, unlock};

/// Reference section 9.3, "abandon … about".
const MASTER: &str = "04d902f35f560e0470c63313c7369168d9d7df2d49bf295fd9fb7cb109ccee04947d000a1345d3845dd83b4c5814f876c91830\
    5b598f066c958fad972bf59f2ec7";
const WALLET: &str = "04ccf96184b4d342c523936910e0222be7131654842db75bb1a5cbc772fe21b2d6285b9ba76d05471e771e3a3be18a313a6ce7\
    a1d3b6a2d21f5b60ba8c03097338";
const ACCOUNT: &str = "0437b0bb7a8288d38ed49a524b5dc98cff3eb5ca824c9f9dc0dfdb3d9cd600f299a6179912b7451c09896c4098eca7ce6b2e58\
    330672795e847c4d6af44e024230";
const CHAT: &str = "041c0b489f112aa9334a0c41e349757e3edd6b0ce761bebc6b14b4901a10aa77966f0b3648e289857fe223ed0230f7383c420ec3\
    03b620f07503e1ac66beab0837";
const WALLET_CHAIN: &str = "c879d136f02003dc804811e42390714ea06448aeaee158c62d65f12a421d988f";

type Open = Card<Unlocked, Reader>;

fn path(text: &str) -> KeyPath {
    text.parse().unwrap()
}

fn key(digits: &str) -> ChatKey {
    ChatKey::try_from(hex::decode(digits).unwrap().as_slice()).unwrap()
}

fn secret<const N: usize>(digits: &str) -> Secret<N> {
    Secret::copy_from(&hex::decode(digits).unwrap()).unwrap()
}

/// A card with the key of "abandon … about", unlocked.
fn owned(model: Model) -> Open {
    let Owned { reader, pairing } = Owned::new(model);
    unlock(selected(reader), pairing.as_ref())
}

/// A card without a key, unlocked.
fn keyless(model: Model) -> Open {
    let (card, pairing) = initialised(model);
    unlock(card, pairing.as_ref())
}

fn digest(number: u8) -> Digest {
    Digest::from([number; 32])
}

fn signing(place: &KeyPlace, makes_current: bool, scheme: Scheme, digest: Digest) -> Operation {
    Operation::Sign(Signing { key: place.clone(), makes_current, scheme, digest })
}

fn sign(card: &mut Open, place: &str, number: u8) -> Result<Signed<RecoverableSignature>, CardError> {
    let place: KeyPlace = place.parse().unwrap();
    let mut receipt = recorded(card.request(signing(&place, false, Scheme::Ecdsa, digest(number))));
    card.sign(&place, &digest(number), &mut receipt)
}

fn public(card: &mut Open, at: &str) -> Result<ChatKey, CardError> {
    let mut receipt = recorded(card.request(Operation::ExportPublic(path(at))));
    card.export_public(&path(at), &mut receipt)
}

fn derive(card: &mut Open, place: &str) -> Result<(), CardError> {
    let place: KeyPlace = place.parse().unwrap();
    let mut receipt = recorded(card.request(Operation::DeriveKey(place.clone())));
    card.derive_key(&place, &mut receipt)
}

/// KC-04, KC-09: the keys of a mnemonic.
#[test]
fn every_version_exports_the_public_keys_of_the_vectors() {
    for model in Model::ALL {
        let mut card = owned(model);
        for (at, expected) in [
            ("m/44'/60'/0'/0", WALLET),
            ("m", MASTER),
            ("m/44'/60'/0'/0/0", ACCOUNT),
            ("m/43'/60'/1581'/0'/0", CHAT),
            ("m", MASTER),
        ] {
            assert_eq!(public(&mut card, at).unwrap(), key(expected), "{model} {at}");
        }
    }
}

#[test]
fn an_extended_public_key_agrees_with_its_known_child() {
    for model in [Model::V3_1, Model::V3_2, Model::V4_0] {
        let mut card = owned(model);
        public(&mut card, "m/44'/60'/0'/0/0").unwrap();
        let wallet = path("m/44'/60'/0'/0");
        let mut receipt = recorded(card.request(Operation::ExportExtendedPublic(wallet.clone())));
        let extended = card.export_extended_public(&wallet, &mut receipt).unwrap();
        assert_eq!(extended.key, key(WALLET), "{model}");
        assert_eq!(hex::encode(extended.chain_code.expose()), WALLET_CHAIN, "{model}");
    }
}

/// KC-07: 65 bytes from which the key is recovered, for many hashes.
#[test]
fn every_version_signs_with_the_key_at_a_path() {
    for model in Model::ALL {
        let mut card = owned(model);
        for number in 0..40 {
            let signed = sign(&mut card, "m/44'/60'/0'/0/0", number).unwrap();
            assert_eq!(signed.key, key(ACCOUNT), "{model} {number}");
            assert_eq!(signed.signature.recover(&digest(number)), Some(key(ACCOUNT)));
        }
    }
}

#[test]
fn the_master_key_signs_too_and_up_to_3_0_while_it_is_the_current_one() {
    for model in Model::ALL {
        let mut card = owned(model);
        assert_eq!(sign(&mut card, "m", 1).unwrap().key, key(MASTER), "{model}");
        if model < Model::V3_1 {
            derive(&mut card, "m/44'").unwrap();
            assert!(matches!(sign(&mut card, "m", 1), Err(CardError::Misuse { .. })), "{model}");
        }
    }
}

#[test]
fn up_to_3_2_the_current_key_moves_and_signs() {
    for model in [Model::V2_2, Model::V3_0, Model::V3_1, Model::V3_2] {
        let mut card = owned(model);
        assert!(card.current_path().unwrap().is_master(), "{model}");
        derive(&mut card, "m/44'/60'/0'/0").unwrap();
        assert_eq!(sign(&mut card, "current", 1).unwrap().key, key(WALLET), "{model}");
        assert_eq!(sign(&mut card, "current/0", 2).unwrap().key, key(ACCOUNT), "{model}");
        assert_eq!(card.current_path().unwrap(), path("m/44'/60'/0'/0"), "{model}: signing moves nothing");
        derive(&mut card, "current/0").unwrap();
        assert_eq!(card.current_path().unwrap(), path("m/44'/60'/0'/0/0"), "{model}");
        assert_eq!(sign(&mut card, "parent/0", 3).unwrap().key, key(ACCOUNT), "{model}");
        let place: KeyPlace = "m/43'/60'/1581'/0'/0".parse().unwrap();
        let mut receipt = recorded(card.request(signing(&place, true, Scheme::Ecdsa, digest(4))));
        assert_eq!(card.sign_and_make_current(&place, &digest(4), &mut receipt).unwrap().key, key(CHAT), "{model}");
        assert_eq!(card.current_path().unwrap(), path("m/43'/60'/1581'/0'/0"), "{model}");
    }
}

#[test]
fn up_to_3_2_a_key_can_sign_without_a_pin_and_without_a_channel() {
    for model in [Model::V2_2, Model::V3_0, Model::V3_1, Model::V3_2] {
        let mut card = owned(model);
        let refused = sign(&mut card, "pinless", 1);
        assert!(matches!(refused, Err(CardError::Status { .. })), "{model}: no such key");
        let account = path("m/44'/60'/0'/0/0");
        let mut receipt = recorded(card.request(Operation::SetPinlessPath(account.clone())));
        card.set_pinless_path(&account, &mut receipt).unwrap();
        assert_eq!(sign(&mut card, "pinless", 1).unwrap().key, key(ACCOUNT), "{model}");
        let mut reader = card.into_transport();
        reader.reset().unwrap();
        let mut card = selected(reader);
        let request = card.request(signing(&KeyPlace::Pinless, false, Scheme::Ecdsa, digest(2)));
        let signed = card.sign_pinless(&digest(2), &mut recorded(request)).unwrap();
        assert_eq!(signed.key, key(ACCOUNT), "{model}");
    }
}

#[test]
fn a_cleared_pin_less_path_signs_no_more() {
    let Owned { reader, pairing } = Owned::new(Model::V3_2);
    let mut card = unlock(selected(reader), pairing.as_ref());
    let account = path("m/44'/60'/0'/0/0");
    let mut receipt = recorded(card.request(Operation::SetPinlessPath(account.clone())));
    card.set_pinless_path(&account, &mut receipt).unwrap();
    card.clear_pinless_path(&mut recorded(card.request(Operation::ClearPinlessPath))).unwrap();
    assert!(matches!(sign(&mut card, "pinless", 1), Err(CardError::Status { .. })));
}

#[test]
fn schnorr_signatures_of_4_0_hold_with_and_without_a_tweak() {
    let mut card = owned(Model::V4_0);
    let at = path("m/44'/60'/0'/0/0");
    for number in 0..10 {
        for tweak in [None, Some([number + 1; 32])] {
            let scheme = if tweak.is_some() { Scheme::TweakedSchnorr } else { Scheme::Schnorr };
            let request = card.request(signing(&at.clone().into(), false, scheme, digest(number)));
            let signed = card.sign_schnorr(&at, &digest(number), tweak.as_ref(), &mut recorded(request)).unwrap();
            assert_eq!(signed.key, key(ACCOUNT));
        }
    }
}

/// The applet's own tests (reference section 9.3): an extended key, its key UID, BIP-85 entropy and two shared secrets.
#[test]
fn a_loaded_extended_key_gives_the_vectors_of_the_applet() {
    let vector = || ExtendedSecret {
        key: secret("3f15e5d852dc2e9ba5e9fe189a8dd2e1547badef5b563bbe6579fc6807d80ed9"),
        chain_code: secret("1b67969d1ec69bdfeeae43213da8460ba34b92d0788c8f7bfcfa44906e8a589c"),
    };
    for model in Model::ALL {
        let mut card = keyless(model);
        let mut receipt = recorded(card.request(Operation::LoadExtendedKey));
        let uid = card.load_extended_key(&vector(), &mut receipt).unwrap().to_string();
        assert_eq!(uid, "489a90ae98c3796bc37637610af250e9e025bb7522eb5a00b705acf5345c9429", "{model}");
    }
    let mut card = keyless(Model::V4_0);
    card.load_extended_key(&vector(), &mut recorded(card.request(Operation::LoadExtendedKey))).unwrap();
    let at = path("m/83696968'/0'/0'");
    let mut receipt = recorded(card.request(Operation::ExportBip85(Bip85 { path: at.clone(), bytes: 64 })));
    assert_eq!(
        hex::encode(&*card.export_bip85(&at, 64, &mut receipt).unwrap()),
        "efecfbccffea313214232d29e71563d941229afb4338c21f9517c41aaa0d16f00b83d2a09ef747e7a64e8e2bd5a14869e693da66ce94ac2da570\
         ab7ee48618f7"
    );
    let two = {
        let mut bytes = [0; 32];
        bytes[31] = 2;
        k256::SecretKey::from_slice(&bytes).unwrap()
    };
    let peer = ChatKey::from(two.public_key());
    for (at, shared) in [
        ("m/44'/1237'/0'/0/0", "61a56a403a5be9a83ae4ba33d580611db5a57586f999a134daba516929905ec6"),
        ("m/43'/60'/1581'/0'/0", "513fbb10f54297573f05085f9f80b7d8418c4f6805960051667916b45c68e6d4"),
    ] {
        let agreement = Agreement { path: path(at), peer: Fingerprint::of(&peer) };
        let mut receipt = recorded(card.request(Operation::Ecdh(agreement)));
        let found = card.ecdh(&path(at), &peer, &mut receipt).unwrap();
        assert_eq!(hex::encode(found.expose()), shared);
    }
}

/// The applet's own tests (reference section 9.3).
#[test]
fn a_lee_seed_gives_the_vectors_of_the_applet() {
    let words = "fan empower output between game genius forest bulk party small arm shuffle";
    let mut card = keyless(Model::V4_0);
    let mut receipt = recorded(card.request(Operation::LoadLeeSeed));
    card.load_lee_seed(&Seed::from_mnemonic(words, "").unwrap(), &mut receipt).unwrap();
    assert_eq!(
        public(&mut card, "m/43'/60'").unwrap(),
        key(
            "045bdbe46824409ae66c960f4a204ac66adc1646dcfa56a5b455629f99b95a643012390c799fb8a1f5e9140dfe9f6088ab1ded90f496c9d8\
             832df501e3c8e9c45f"
        )
    );
    let mut receipt = recorded(card.request(Operation::ExportLee(path("m/43'/60'"))));
    let keys = card.export_lee(&path("m/43'/60'"), &mut receipt).unwrap();
    assert_eq!(
        hex::encode(keys.nullifier.expose()),
        "a44386392e2112c8c46a7f8378b4c3163011a76664a2b1d23e25a6f35ef90739"
    );
    assert_eq!(
        hex::encode(keys.viewing.expose()),
        "d06cc239011a56c8aecec0579b884227d637496a6e3e8f27d70e170f2ec3fa0d97dc323114bb420ef3061010446a9b4cf321ebc895ac8b7f261e\
         3fbcaef79a67"
    );
    // A LEE card's extended key gives none of its children, and none is held against it.
    public(&mut card, "m/44'/60'/0'/0/0").unwrap();
    let wallet = path("m/44'/60'/0'/0");
    let mut receipt = recorded(card.request(Operation::ExportExtendedPublic(wallet.clone())));
    assert!(card.export_extended_public(&wallet, &mut receipt).is_ok());
}

#[test]
fn a_card_without_a_lee_seed_gives_no_lee_keys() {
    let mut card = owned(Model::V4_0);
    let mut receipt = recorded(card.request(Operation::ExportLee(KeyPath::master())));
    assert!(matches!(card.export_lee(&KeyPath::master(), &mut receipt), Err(CardError::Status { .. })));
}

/// Reference section 9.3: private key 1.
#[test]
fn a_key_without_chain_code_signs_and_derives_nothing() {
    for model in Model::ALL {
        let mut card = keyless(model);
        let mut receipt = recorded(card.request(Operation::LoadKeyPair));
        let uid = card.load_key_pair(&Secret::fill(|room| room[31] = 1), &mut receipt).unwrap().to_string();
        assert_eq!(uid, "50929b74c1a04954b78b4b6035e97a5e078a5a0f28ec96d547bfee9ace803ac0", "{model}");
        assert!(sign(&mut card, "m", 1).is_ok(), "{model}");
        assert!(matches!(sign(&mut card, "m/1", 1), Err(CardError::Status { .. })), "{model}");
    }
}

#[test]
fn a_short_seed_is_taken_from_3_2_on() {
    let seed = Seed::from_slice(&[7; 16]).unwrap();
    for model in Model::ALL {
        let mut card = keyless(model);
        let mut receipt = recorded(card.request(Operation::LoadKey));
        let result = card.load_seed(&seed, &mut receipt);
        match result {
            Ok(_) => assert!(model >= Model::V3_2),
            Err(CardError::Unsupported { .. }) => assert!(model < Model::V3_2 && !receipt.is_spent()),
            Err(error) => panic!("{model}: {error}"),
        }
    }
}

#[test]
fn words_of_the_card_are_a_mnemonic_that_it_can_be_loaded_with() {
    for model in Model::ALL {
        let mut card = keyless(model);
        for words in [12, 15, 18, 21, 24] {
            let mut receipt = recorded(card.request(Operation::GenerateMnemonic(words)));
            let mnemonic = card.generate_mnemonic(words, &mut receipt).unwrap();
            assert_eq!(mnemonic.expose().split(' ').count(), usize::from(words), "{model}");
            assert_eq!(card.info().key_uid, None, "{model}: nothing is kept");
            if words == 24 {
                let mut receipt = recorded(card.request(Operation::LoadKey));
                card.load_seed(&mnemonic.to_seed(""), &mut receipt).unwrap();
            }
        }
    }
}

#[test]
fn a_removed_key_is_gone_and_a_generated_one_is_another() {
    for model in Model::ALL {
        let mut card = owned(model);
        let before = card.info().key_uid;
        card.remove_key(&mut recorded(card.request(Operation::RemoveKey))).unwrap();
        assert!(matches!(public(&mut card, "m"), Err(CardError::Status { .. })), "{model}");
        let uid = card.generate_key(&mut recorded(card.request(Operation::GenerateKey))).unwrap();
        assert_ne!(Some(uid), before);
        public(&mut card, "m").unwrap();
        let mut reader = card.into_transport();
        reader.reset().unwrap();
        assert_eq!(selected(reader).info().key_uid, Some(uid), "{model}");
    }
}

/// KC-10. Users, attack 5: the old PIN after CHANGE PIN.
#[test]
fn attack_the_old_pin_opens_nothing_after_a_change() {
    let new = Pin::try_from(b"654321".as_slice()).unwrap();
    for model in Model::ALL {
        let (card, pairing) = initialised(model);
        let mut card = unlock(card, pairing.as_ref());
        card.change_pin(&new, &mut recorded(card.request(Operation::ChangePin))).unwrap();
        let mut reader = card.into_transport();
        reader.reset().unwrap();
        let trust = trust();
        let card = selected(reader).open(&Owned::access(pairing.as_ref(), &trust), &mut dice(5)).unwrap();
        let Err(VerifyError::Wrong { card, .. }) = card.verify_pin(&pin(), false) else { panic!("{model}") };
        assert!(card.verify_pin(&new, false).is_ok(), "{model}");
    }
}

/// KC-11. Users, attack 5: the tries do not come back with a new channel or a reset, and the last one is guarded.
#[test]
fn attack_a_blocked_pin_stays_blocked_until_the_puk() {
    let (wrong, new) = (Pin::try_from(b"999999".as_slice()).unwrap(), Pin::try_from(b"654321".as_slice()).unwrap());
    let puk = Puk::try_from(b"000000000001".as_slice()).unwrap();
    for model in Model::ALL {
        let (card, pairing) = initialised(model);
        let mut card = unlock(card, pairing.as_ref());
        card.change_puk(&puk, &mut recorded(card.request(Operation::ChangePuk))).unwrap();
        let mut reader = card.into_transport();
        for _ in 0..3 {
            reader.reset().unwrap();
            let trust = trust();
            let card = selected(reader).open(&Owned::access(pairing.as_ref(), &trust), &mut dice(5)).unwrap();
            reader = match card.verify_pin(&wrong, true) {
                Err(VerifyError::Wrong { card, .. } | VerifyError::Blocked { card }) => card.into_transport(),
                _ => panic!("{model}"),
            };
        }
        reader.reset().unwrap();
        let trust = trust();
        let card = selected(reader).open(&Owned::access(pairing.as_ref(), &trust), &mut dice(6)).unwrap();
        let Err(VerifyError::Blocked { card }) = card.verify_pin(&pin(), true) else { panic!("{model}") };
        let old = Puk::try_from(b"210987654321".as_slice()).unwrap();
        let mut receipt = recorded(card.request(Operation::UnblockPin));
        let Err(UnblockError::Wrong { card, tries: 4 }) = card.unblock_pin(&old, &new, false, &mut receipt) else {
            panic!("{model}: the PUK was changed")
        };
        let mut receipt = recorded(card.request(Operation::UnblockPin));
        let mut card = card.unblock_pin(&puk, &new, false, &mut receipt).unwrap();
        let status = card.status().unwrap();
        assert_eq!((status.pin_tries, status.puk_tries), (3, 5), "{model}");
        card.change_pin(&pin(), &mut recorded(card.request(Operation::ChangePin))).unwrap();
    }
}

#[test]
fn a_pin_that_is_not_blocked_is_not_unblocked_and_no_puk_is_sent() {
    for model in Model::ALL {
        let (card, pairing) = initialised(model);
        let trust = trust();
        let card = card.open(&Owned::access(pairing.as_ref(), &trust), &mut dice(5)).unwrap();
        let mut receipt = recorded(card.request(Operation::UnblockPin));
        let result = card.unblock_pin(&Puk::try_from(b"999999999999".as_slice()).unwrap(), &pin(), true, &mut receipt);
        let Err(UnblockError::NotBlocked { mut card, tries: 3 }) = result else { panic!("{model}") };
        assert_eq!(card.status().unwrap().puk_tries, 5, "{model}");
    }
}

#[test]
fn later_pairings_take_the_changed_secret_and_earlier_ones_go_on() {
    for model in [Model::V2_2, Model::V3_0, Model::V3_1, Model::V3_2] {
        let (card, pairing) = initialised(model);
        let mut card = unlock(card, pairing.as_ref());
        let fresh = PairingSecret::random(&mut dice(11));
        card.change_pairing_secret(&fresh, &mut recorded(card.request(Operation::ChangePairingSecret))).unwrap();
        let mut reader = card.into_transport();
        reader.reset().unwrap();
        let mut card = selected(reader);
        let old: PairingSecret = Secret::<32>::copy_from(secrets().pairing().expose()).unwrap().into();
        for (secret, takes) in [(old, false), (fresh, true)] {
            let mut receipt = recorded(card.request(Operation::Pair));
            let result = card.pair(&[secret], keycard::Lasting::Persistent, &mut receipt, &mut dice(12));
            assert_eq!(result.is_ok(), takes, "{model}");
        }
        unlock(card, pairing.as_ref());
    }
}

#[test]
fn data_slots_keep_what_is_stored_with_its_conventions() {
    let metadata = Metadata::new("card", [0, 4, 5, 6]).unwrap();
    let link = NdefRecord::encode(&[NdefRecord::Uri("https://keycard.tech".to_owned())]).unwrap();
    for model in [Model::V3_0, Model::V3_1, Model::V3_2, Model::V4_0] {
        let mut card = owned(model);
        for (slot, data) in [
            (DataSlot::Public, metadata.encode().unwrap()),
            (DataSlot::Ndef, link.clone()),
            (DataSlot::Cash, b"gift".to_vec()),
        ] {
            card.store_data(slot, &data, &mut recorded(card.request(Operation::StoreData(slot)))).unwrap();
            assert_eq!(card.data(slot).unwrap(), data, "{model} {slot}");
        }
        let (tag, mut reader) = card.read_ndef().unwrap();
        assert_eq!(tag, link, "{model}: what a phone reads");
        reader.reset().unwrap();
        let mut card = selected(reader);
        match card.data_in_clear(DataSlot::Public) {
            Ok(data) => assert_eq!(Metadata::decode(&data).unwrap(), metadata, "{model}"),
            Err(error) => assert!(matches!(error, CardError::Unsupported { .. }) && model == Model::V4_0),
        }
        let mut cash = card.select_cash().unwrap();
        assert_eq!(cash.info().data, b"gift", "{model}");
        let mut receipt = recorded(cash.request(&digest(1)));
        let signature = cash.sign(&digest(1), &mut receipt).unwrap();
        assert_eq!(signature.recover(&digest(1)), Some(cash.info().key), "{model}");
        let identified = cash.identify(&trust(), [9; 32]);
        assert_eq!(identified.is_ok(), [Model::V3_1, Model::V3_2].contains(&model), "{model}");
    }
}

#[test]
fn a_long_ndef_message_is_kept_whole_from_3_2_on() {
    let text = NdefRecord::Text { language: "en".to_owned(), text: "long ".repeat(90) };
    let message = NdefRecord::encode(&[text]).unwrap();
    for model in [Model::V3_1, Model::V3_2, Model::V4_0] {
        let mut card = owned(model);
        let mut receipt = recorded(card.request(Operation::StoreData(DataSlot::Ndef)));
        let stored = card.store_data(DataSlot::Ndef, &message, &mut receipt);
        if model == Model::V3_1 {
            assert!(matches!(stored, Err(CardError::Misuse { .. })));
            continue;
        }
        stored.unwrap();
        match card.data(DataSlot::Ndef) {
            Ok(read) => assert!(read == message && model == Model::V4_0),
            Err(error) => assert!(matches!(error, CardError::Unsupported { .. }) && model == Model::V3_2),
        }
        assert_eq!(card.read_ndef().unwrap().0, message, "{model}");
    }
}

#[test]
fn an_untouched_tag_is_empty() {
    for model in Model::ALL {
        let (message, _) = owned(model).read_ndef().unwrap();
        assert_eq!(message, [0u8; 0], "{model}");
    }
}

#[test]
fn a_4_0_card_throws_its_dice() {
    let mut card = owned(Model::V4_0);
    let (one, other) = (card.challenge(245).unwrap(), card.challenge(245).unwrap());
    assert_eq!(one.len(), 245);
    assert_ne!(one, other);
}

/// A card in duress mode derives other keys from the same master: what is known of the account tells.
#[test]
fn a_card_in_duress_mode_is_found_out_by_a_known_key() {
    let duress = Pin::try_from(b"777777".as_slice()).unwrap();
    for model in [Model::V3_1, Model::V3_2, Model::V4_0] {
        let card = crate::cards::blank(Reader::new(model));
        let secrets = secrets().with_duress(Pin::try_from(b"777777".as_slice()).unwrap()).unwrap();
        let mut receipt = recorded(card.request(Operation::Init));
        let mut card = card.init(&trust(), &secrets, &mut receipt, &mut dice(1)).unwrap();
        let pairing = (model < Model::V4_0).then(|| {
            let mut receipt = recorded(card.request(Operation::Pair));
            let secret = Secret::<32>::copy_from(secrets.pairing().expose()).unwrap().into();
            card.pair(&[secret], keycard::Lasting::Persistent, &mut receipt, &mut dice(2)).unwrap()
        });
        let mut card = unlock(card, pairing.as_ref());
        let words = "abandon abandon abandon abandon abandon abandon abandon abandon abandon abandon abandon about";
        let seed = Seed::from_mnemonic(words, "").unwrap();
        let uid = card.load_seed(&seed, &mut recorded(card.request(Operation::LoadKey))).unwrap();
        let mut known = KnownKeys::of(uid);
        let chat = ExportPath::chat();
        known.insert(chat.as_path().clone(), Fingerprint::of(&key(CHAT)));
        let mut reader = card.into_transport();
        reader.reset().unwrap();
        let trust = trust();
        let card = selected(reader).open(&Owned::access(pairing.as_ref(), &trust), &mut dice(3)).unwrap();
        let mut card = card.verify_pin(&duress, false).unwrap();
        card.expect_keys(known);
        assert_eq!(public(&mut card, "m").unwrap(), key(MASTER), "{model}: the same account");
        let error = public(&mut card, "m/43'/60'/1581'/0'/0").unwrap_err();
        assert!(matches!(error, CardError::OtherKey { .. }), "{model}: {error}");
        let mut receipt = recorded(card.request(Operation::ExportPrivate(chat.clone())));
        let error = card.export_private(&chat, &mut receipt).err().unwrap();
        assert!(matches!(error, CardError::OtherKey { .. }), "{model}: {error}");
    }
}

/// Which commands each version does not know, and that not a byte of them goes out.
#[test]
fn what_a_version_does_not_know_is_not_sent() {
    for model in Model::ALL {
        let mut card = owned(model);
        let before = card.info().clone();
        let at = path("m/43'/60'/1581'/0'/0");
        let peer = key(CHAT);
        let mut refused: Vec<&str> = Vec::new();
        let mut note = |name, result: Result<(), CardError>| match result {
            Err(CardError::Unsupported { .. }) => refused.push(name),
            Err(CardError::NotRecorded(_) | CardError::Misuse { .. }) => {}
            Ok(()) => panic!("{name} was sent without a record"),
            Err(error) => panic!("{name}: {error}"),
        };
        // A receipt of something else: what is known to the version stops there.
        let mut other = recorded(card.request(Operation::FactoryReset));
        note("sign", card.sign(&at.clone().into(), &digest(1), &mut other).map(|_| ()));
        note("current", card.sign(&KeyPlace::current(), &digest(1), &mut other).map(|_| ()));
        note("pinless", card.sign(&KeyPlace::Pinless, &digest(1), &mut other).map(|_| ()));
        note("schnorr", card.sign_schnorr(&at, &digest(1), None, &mut other).map(|_| ()));
        note("derive", card.derive_key(&KeyPlace::current(), &mut other));
        note("set pinless", card.set_pinless_path(&at, &mut other));
        note("extended", card.export_extended_public(&path("m/44'"), &mut other).map(|_| ()));
        note("lee", card.export_lee(&at, &mut other).map(|_| ()));
        note("bip85", card.export_bip85(&path("m/83696968'/0'"), 8, &mut other).map(|_| ()));
        note("ecdh", card.ecdh(&at, &peer, &mut other).map(|_| ()));
        note("store", card.store_data(DataSlot::Public, &[], &mut other));
        let fresh = PairingSecret::random(&mut dice(1));
        note("pairing secret", card.change_pairing_secret(&fresh, &mut other));
        let expected: &[&str] = match model {
            Model::V2_2 => &["schnorr", "extended", "lee", "bip85", "ecdh", "store"],
            Model::V3_0 => &["schnorr", "extended", "lee", "bip85", "ecdh"],
            Model::V3_1 | Model::V3_2 => &["schnorr", "lee", "bip85", "ecdh"],
            Model::V4_0 => &["current", "pinless", "derive", "set pinless", "pairing secret"],
        };
        assert_eq!(refused, expected, "{model}");
        assert!(!other.is_spent());
        assert_eq!(*card.info(), before);
        let sent = card.into_transport().sent.len();
        let log_in = owned(model).into_transport().sent.len();
        assert_eq!(sent, log_in, "{model}: nothing went out after the log-in");
    }
}

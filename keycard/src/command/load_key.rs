//! LOAD KEY `80 D0 03 00 40 seed(64)` → key UID(32), and the check that the card makes of the seed what BIP-32 says.

use audit::{Operation, Recorded};
use proto::{ChatKey, ExportPath, Fingerprint, KeyPath, KeyUid};

use crate::apdu::{Answer, Command};
use crate::card::{Card, Unlocked};
use crate::command::export_key;
use crate::error::CardError;
use crate::seed::Seed;
use crate::transport::CardTransport;

impl<T: CardTransport> Card<Unlocked, T> {
    /// Puts the key of `seed` onto the card, which replaces any other without asking, and returns its account.
    ///
    /// Afterwards the card's public keys at `m` and at the chat path are compared with those that the seed gives. The
    /// host, which has the seed, could compute what is read for that: the record of LOAD KEY covers it.
    ///
    /// # Errors
    /// [`CardError::NotRecorded`] before anything is sent; [`CardError::OtherKey`] when the card derives other keys (in
    /// duress mode `m` agrees and the chat key does not): the key is on the card all the same; [`CardError::Misuse`] for
    /// a seed that gives no key; [`CardError::Status`], [`CardError::Answer`], [`CardError::ChannelLost`],
    /// [`CardError::Transport`].
    pub fn load_seed(&mut self, seed: &Seed, recorded: &mut Recorded) -> Result<KeyUid, CardError> {
        let chat = ExportPath::chat();
        let paths = [&KeyPath::master(), chat.as_path()];
        let expected_keys = expected_keys(seed, paths)?;
        let [master, _] = expected_keys;
        recorded.spend(&self.request(Operation::LoadKey))?;
        let uid = parse(self.call(&command(seed)?)?)?;
        self.info.key_uid = Some(uid);
        for (path, expected) in paths.into_iter().zip(expected_keys) {
            let found = export_key::parse_public(self.call(&export_key::public(path)?)?)?;
            if found != expected {
                let (expected, found) = (Fingerprint::of(&expected), Fingerprint::of(&found));
                return Err(CardError::OtherKey { path: path.clone(), expected, found });
            }
        }
        if uid != KeyUid::of_master(&master) {
            return Err(CardError::Answer { what: "a key UID that is not of the master key" });
        }
        Ok(uid)
    }
}

pub(crate) fn command(seed: &Seed) -> Result<Command, CardError> {
    Command::with_body([0x80, 0xD0, 0x03, 0x00], &[seed.expose()])
}

pub(crate) fn parse(answer: Answer) -> Result<KeyUid, CardError> {
    let data = answer.success("LOAD KEY")?;
    KeyUid::try_from(data.as_slice()).map_err(|_| CardError::Answer { what: "a malformed answer to LOAD KEY" })
}

/// Returns the public keys that BIP-32 gives for `seed` at `paths`.
///
/// The keys of the `bip32` crate print, clone and compare: they live in this function and nowhere else in the package.
fn expected_keys<const N: usize>(seed: &Seed, paths: [&KeyPath; N]) -> Result<[ChatKey; N], CardError> {
    const NO_KEY: CardError = CardError::Misuse { what: "the seed gives no key; take another one" };
    let master = bip32::XPrv::new(seed.expose()).map_err(|_| NO_KEY)?;
    let mut keys = Vec::with_capacity(N);
    for path in paths {
        let mut key = master.clone();
        for component in path.components() {
            key = key.derive_child(bip32::ChildNumber(*component)).map_err(|_| NO_KEY)?;
        }
        keys.push(ChatKey::from(k256::PublicKey::from(key.private_key().verifying_key())));
    }
    keys.try_into().map_err(|_| NO_KEY)
}

#[cfg(test)]
mod tests {
    use super::*;
    use crate::fake::{FakeCard, abandon, export_answer, recorded, unlocked};

    const MASTER: &str = "04d902f35f560e0470c63313c7369168d9d7df2d49bf295fd9fb7cb109ccee04947d000a1345d3845dd83b4c5814f876\
        c918305b598f066c958fad972bf59f2ec7";
    const CHAT: &str = "041c0b489f112aa9334a0c41e349757e3edd6b0ce761bebc6b14b4901a10aa77966f0b3648e289857fe223ed0230f7383c42\
        0ec303b620f07503e1ac66beab0837";
    const UID: &str = "16f5b9c7657df5e0b45016292d852a36622fb39b63c28017ccf21633270858f1";

    fn keys(seed: &Seed, paths: &[&str]) -> Vec<String> {
        let key = |path: &&str| expected_keys(seed, [&path.parse().unwrap()]).unwrap()[0];
        paths.iter().map(|path| hex::encode(key(path).to_bytes())).collect()
    }

    /// Reference section 9.3; confirmed there against the real applet 4.0.
    /// KC-16: the key UID is of the master key. ACCT-03, EIP1581-01: the paths.
    #[test]
    fn the_keys_of_abandon_about_are_those_of_the_applet() {
        let paths = [
            "m",
            "m/43'/60'/1581'/0'/0",
            "m/43'/60'/1581'/1'/0",
            "m/43'/60'/1581'",
            "m/44'/60'/0'/0",
            "m/44'/60'/0'/0/0",
        ];
        let expected = [
            MASTER,
            CHAT,
            "043eb2753a0c40fb3a35255f6dd49ccc3d0bae1d63b876b17d419faa950691c3ebaee08ed2c51a742b5a956fd67c115527b346767cbee\
             259a7c79e8aebb5601f39",
            "04f06daa9cc9d74e8b82108c9dbdbb5f2e06a7883753f7013db10531cd711ffdd0dfabd8548499366445e724bd2f9c42a5882017f0742\
             0a6b923fd5d2a6cff158d",
            "04ccf96184b4d342c523936910e0222be7131654842db75bb1a5cbc772fe21b2d6285b9ba76d05471e771e3a3be18a313a6ce7a1d3b6a\
             2d21f5b60ba8c03097338",
            "0437b0bb7a8288d38ed49a524b5dc98cff3eb5ca824c9f9dc0dfdb3d9cd600f299a6179912b7451c09896c4098eca7ce6b2e583306727\
             95e847c4d6af44e024230",
        ];
        assert_eq!(keys(&abandon(), &paths), expected);
        let master = ChatKey::try_from(hex::decode(MASTER).unwrap().as_slice()).unwrap();
        assert_eq!(KeyUid::of_master(&master).to_string(), UID);
    }

    #[test]
    fn the_key_uid_of_the_counting_seed_is_that_of_the_applet() {
        let seed = Seed::from_bytes(&std::array::from_fn(|i| i as u8));
        let [master] = expected_keys(&seed, [&KeyPath::master()]).unwrap();
        assert_eq!(
            KeyUid::of_master(&master).to_string(),
            "013b89b98c76046c1973a898aa11016eade5051242632b77853cfe3ed7d8fc2f"
        );
    }

    /// ACCT-01, ACCT-02: the applet's own test-suite gives this chat key for this mnemonic.
    #[test]
    fn the_keys_of_legal_winner_are_those_of_the_applets_own_tests() {
        let words = "legal winner thank year wave sausage worth useful legal winner thank year wave sausage worth useful \
            legal will";
        let seed = Seed::from_mnemonic(words, "").unwrap();
        assert_eq!(
            keys(&seed, &["m", "m/43'/60'/1581'/0'/0"]),
            [
                "04cc620f846055ed43995391ca5e490c52251ea40453f64a0515bef84c24a653a7c4e02b9de56f66d9ee58dc6b591b534f5a20c055\
                 0b2c33a086b90b866cf70799",
                "04e7370d118461e1ab01f3e86e88c4b0c7b92cecb79c5e320cef73dda912f173beae74df15090b6405a274963c054cdfe6ac7843a3\
                 02c260390d1fe776008f310e",
            ]
        );
    }

    fn loaded(uid: &str, master: &str, chat: &str) -> Result<KeyUid, CardError> {
        let fake = FakeCard::initialised()
            .answering(&(uid.to_owned() + "9000"))
            .answering(&export_answer(master))
            .answering(&export_answer(chat));
        let mut card = unlocked(fake);
        let mut receipt = recorded(card.request(Operation::LoadKey));
        let result = card.load_seed(&abandon(), &mut receipt);
        assert!(receipt.is_spent());
        result
    }

    #[test]
    fn a_card_that_agrees_with_the_seed_gives_its_account() {
        assert_eq!(loaded(UID, MASTER, CHAT).unwrap().to_string(), UID);
    }

    #[test]
    fn a_card_in_duress_mode_shows_by_its_chat_key() {
        // Reference section 9.3: the duress chat key of the same seed; `m` and the key UID are the same in both modes.
        let secret = hex::decode("a92d6fdea4b5326a7cf8f524fcd193059e63a13b770c8082f164764c66a01e15").unwrap();
        let duress = ChatKey::from(k256::SecretKey::from_slice(&secret).unwrap().public_key());
        let error = loaded(UID, MASTER, &hex::encode(duress.to_bytes())).unwrap_err();
        let CardError::OtherKey { path, expected, found } = &error else { panic!("{error}") };
        assert_eq!(path.to_string(), "m/43'/60'/1581'/0'/0");
        assert_eq!(*found, Fingerprint::of(&duress));
        assert_ne!(expected, found);
        assert!(error.to_string().contains("duress"));
    }

    #[test]
    fn a_card_with_another_master_or_key_uid_is_an_error() {
        assert!(matches!(loaded(UID, CHAT, CHAT), Err(CardError::OtherKey { path, .. }) if path.is_master()));
        assert!(matches!(loaded(&"07".repeat(32), MASTER, CHAT), Err(CardError::Answer { .. })));
        assert!(matches!(loaded("07", MASTER, CHAT), Err(CardError::Answer { .. })));
    }

    #[test]
    fn without_a_record_of_it_no_seed_is_sent() {
        let mut card = unlocked(FakeCard::initialised());
        let mut receipt = recorded(card.request(Operation::GenerateKey));
        assert!(matches!(card.load_seed(&abandon(), &mut receipt), Err(CardError::NotRecorded(_))));
        assert_eq!(card.into_transport().inner_commands().len(), 1, "only VERIFY PIN");
    }
}

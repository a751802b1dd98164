//! LOAD KEY `80 D0 P1 00 Lc data` → key UID(32), and the check that the card makes of it what the host computes.
//!
//! ```text
//! P1 = 01  A1 22 { 81 20 key }                        a key without chain code: nothing can be derived from it
//! P1 = 02  A1 44 { 81 20 key, 82 20 chain code }
//! P1 = 03  seed of BIP-32: 64 bytes; from 3.2 on 16 to 64
//! P1 = 04  LEE seed of 16 to 64 bytes                 applet 4.0
//! ```
//! For a chain code that is not there the applet looks one byte past the data, into what a command before left: about one
//! in 256 such commands answers 6A80. So that one form is sent a second time, under the same record.

use audit::{Operation, Recorded};
use proto::{ChatKey, ExportPath, Fingerprint, KeyPath, KeyUid, Secret};

use crate::apdu::{Answer, Command};
use crate::card::{Card, Unlocked};
use crate::derivation::{self, ExtendedSecret, Tree};
use crate::error::CardError;
use crate::known_keys::KnownKeys;
use crate::seed::Seed;
use crate::status_word::StatusWord;
use crate::transport::CardTransport;
use crate::version::Feature;

impl<T: CardTransport> Card<Unlocked, T> {
    /// Puts the key of `seed` onto the card, which replaces any other without asking, and returns its account.
    ///
    /// Afterwards the card's public keys at `m` and at the chat path are compared with those that the seed gives. The
    /// host, which has the seed, could compute what is read for that: the record of LOAD KEY covers it.
    ///
    /// # Errors
    /// [`CardError::Unsupported`] for a seed of other than 64 bytes up to 3.1, [`CardError::Misuse`] for one that gives no
    /// key, [`CardError::NotRecorded`]: before anything is sent. [`CardError::OtherKey`] and [`CardError::OtherAccount`]
    /// when the card derives other keys (in duress mode `m` agrees and the chat key does not): the key is on the card all
    /// the same. [`CardError::Status`], [`CardError::Answer`], [`CardError::ChannelLost`], [`CardError::Transport`].
    pub fn load_seed(&mut self, seed: &Seed, recorded: &mut Recorded) -> Result<KeyUid, CardError> {
        if seed.expose().len() != 64 {
            self.require(Feature::SeedLengths, "LOAD KEY of a seed that has not 64 bytes")?;
        }
        self.load_tree(Operation::LoadKey, &command(seed)?, &Tree::of_seed(seed.expose()), recorded)
    }

    /// Puts a key and its chain code onto the card, as [`Card::load_seed`] does.
    ///
    /// # Errors
    /// As [`Card::load_seed`].
    pub fn load_extended_key(&mut self, key: &ExtendedSecret, recorded: &mut Recorded) -> Result<KeyUid, CardError> {
        let body: [&[u8]; 4] = [&[0xA1, 0x44, 0x81, 0x20], key.key.expose(), &[0x82, 0x20], key.chain_code.expose()];
        let command = Command::with_body([0x80, 0xD0, 0x02, 0x00], &body)?;
        self.load_tree(Operation::LoadExtendedKey, &command, &Tree::of_key(key), recorded)
    }

    /// Puts a LEE seed onto the card, as [`Card::load_seed`] does. The card then derives other keys than BIP-32.
    ///
    /// # Errors
    /// As [`Card::load_seed`]; [`CardError::Unsupported`] up to 3.2.
    pub fn load_lee_seed(&mut self, seed: &Seed, recorded: &mut Recorded) -> Result<KeyUid, CardError> {
        self.require(Feature::Lee, "LOAD KEY of a LEE seed")?;
        let command = Command::with_body([0x80, 0xD0, 0x04, 0x00], &[seed.expose()])?;
        self.load_tree(Operation::LoadLeeSeed, &command, &Tree::of_lee_seed(seed.expose()), recorded)
    }

    /// Puts a key without chain code onto the card: it has no other key than `m`, and no duress mode.
    ///
    /// # Errors
    /// As [`Card::load_seed`].
    pub fn load_key_pair(&mut self, key: &Secret<32>, recorded: &mut Recorded) -> Result<KeyUid, CardError> {
        const NO_KEY: CardError =
            CardError::Misuse { what: "a private key is a number from 1 to the order of the curve" };
        let expected = derivation::public_key(key).ok_or(NO_KEY)?;
        let command = Command::with_body([0x80, 0xD0, 0x01, 0x00], &[&[0xA1, 0x22, 0x81, 0x20], key.expose()])?;
        recorded.spend(&self.request(Operation::LoadKeyPair))?;
        let mut answer = self.call(&command)?;
        if answer.status == StatusWord::MALFORMED {
            answer = self.call(&command)?;
        }
        self.loaded(answer, &[(KeyPath::master(), expected)], false)
    }

    fn load_tree(
        &mut self,
        operation: Operation,
        command: &Command,
        tree: &Tree,
        recorded: &mut Recorded,
    ) -> Result<KeyUid, CardError> {
        let paths = [KeyPath::master(), ExportPath::chat().as_path().clone()];
        let keys = tree.public_keys(paths.each_ref())?;
        let lee = operation == Operation::LoadLeeSeed;
        recorded.spend(&self.request(operation))?;
        let answer = self.call(command)?;
        let expected: Vec<_> = paths.into_iter().zip(keys).collect();
        self.loaded(answer, &expected, lee)
    }

    /// Compares the card's keys with those that the host computed; the first is the master key.
    fn loaded(&mut self, answer: Answer, computed: &[(KeyPath, ChatKey)], lee: bool) -> Result<KeyUid, CardError> {
        let uid = parse(answer)?;
        self.info.key_uid = Some(uid);
        self.info.lee = lee;
        let mut known = KnownKeys::default();
        for (path, key) in computed {
            known.insert(path.clone(), Fingerprint::of(key));
            known.check(path, &self.ask_public(path)?)?;
            if path.is_master() && uid != KeyUid::of_master(key) {
                return Err(CardError::OtherAccount { expected: uid, found: KeyUid::of_master(key) });
            }
        }
        self.state.known = KnownKeys::of(uid);
        for (path, key) in computed {
            self.state.known.insert(path.clone(), Fingerprint::of(key));
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

#[cfg(test)]
mod tests {
    use super::*;
    use crate::fake::{FakeCard, abandon, aged, export_answer, recorded, unlocked};
    use crate::version::Version;

    const MASTER: &str = "04d902f35f560e0470c63313c7369168d9d7df2d49bf295fd9fb7cb109ccee04947d000a1345d3845dd83b4c5814f876\
        c918305b598f066c958fad972bf59f2ec7";
    const CHAT: &str = "041c0b489f112aa9334a0c41e349757e3edd6b0ce761bebc6b14b4901a10aa77966f0b3648e289857fe223ed0230f7383c42\
        0ec303b620f07503e1ac66beab0837";
    const UID: &str = "16f5b9c7657df5e0b45016292d852a36622fb39b63c28017ccf21633270858f1";

    fn keys(seed: &Seed, paths: &[&str]) -> Vec<String> {
        let tree = Tree::of_seed(seed.expose());
        let key = |path: &&str| tree.public_keys([&path.parse().unwrap()]).unwrap()[0];
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
        let [master] = Tree::of_seed(seed.expose()).public_keys([&KeyPath::master()]).unwrap();
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
        assert!(matches!(loaded(&"07".repeat(32), MASTER, CHAT), Err(CardError::OtherAccount { .. })));
        assert!(matches!(loaded("07", MASTER, CHAT), Err(CardError::Answer { .. })));
    }

    #[test]
    fn without_a_record_of_it_no_seed_is_sent() {
        let mut card = unlocked(FakeCard::initialised());
        let mut receipt = recorded(card.request(Operation::GenerateKey));
        assert!(matches!(card.load_seed(&abandon(), &mut receipt), Err(CardError::NotRecorded(_))));
        assert_eq!(card.into_transport().inner_commands().len(), 1, "only VERIFY PIN");
    }

    /// The generator: private key 1, and its key UID (reference section 9.3).
    const G: &str = "0479be667ef9dcbbac55a06295ce870b07029bfcdb2dce28d959f2815b16f81798483ada7726a3c4655da4fbfc0e1108a8fd17b448\
        a68554199c47d08ffb10d4b8";
    const UID_OF_1: &str = "50929b74c1a04954b78b4b6035e97a5e078a5a0f28ec96d547bfee9ace803ac0";

    fn one() -> Secret<32> {
        Secret::fill(|room| room[31] = 1)
    }

    #[test]
    fn a_key_without_chain_code_is_compared_with_m_alone() {
        let fake = FakeCard::initialised().answering(&(UID_OF_1.to_owned() + "9000")).answering(&export_answer(G));
        let mut card = unlocked(fake);
        let mut receipt = recorded(card.request(Operation::LoadKeyPair));
        assert_eq!(card.load_key_pair(&one(), &mut receipt).unwrap().to_string(), UID_OF_1);
        let fake = card.into_transport();
        let sent: Vec<_> = fake.inner_commands()[1..].iter().map(hex::encode).collect();
        assert_eq!(sent, [format!("80d0010024a1228120{}01", "00".repeat(31)), "80c2010100".to_owned()]);
    }

    #[test]
    fn the_applets_false_refusal_is_answered_by_one_more_try_under_the_same_record() {
        let uid = UID_OF_1.to_owned() + "9000";
        let fake = FakeCard::initialised().answering("6a80").answering(&uid).answering(&export_answer(G));
        let mut card = unlocked(fake);
        let mut receipt = recorded(card.request(Operation::LoadKeyPair));
        card.load_key_pair(&one(), &mut receipt).unwrap();
        let fake = card.into_transport();
        assert_eq!(fake.inner_commands()[1], fake.inner_commands()[2]);
        let mut card = unlocked(FakeCard::initialised().answering("6a80").answering("6a80"));
        let mut receipt = recorded(card.request(Operation::LoadKeyPair));
        assert!(matches!(card.load_key_pair(&one(), &mut receipt), Err(CardError::Status { .. })));
        assert_eq!(card.into_transport().inner_commands().len(), 3, "VERIFY PIN, and two tries");
    }

    #[test]
    fn nothing_else_is_tried_a_second_time() {
        let mut card = unlocked(FakeCard::initialised().answering("6a80").answering("6f00"));
        let mut receipt = recorded(card.request(Operation::LoadKey));
        assert!(card.load_seed(&abandon(), &mut receipt).is_err());
        let mut receipt = recorded(card.request(Operation::LoadKeyPair));
        assert!(card.load_key_pair(&one(), &mut receipt).is_err());
        assert_eq!(card.into_transport().inner_commands().len(), 3);
    }

    #[test]
    fn an_extended_key_is_sent_with_its_chain_code_and_gives_the_tree_of_the_seed() {
        // Reference section 9.3: the master key of "abandon … about".
        let secret = |text: &str| Secret::copy_from(&hex::decode(text).unwrap()).unwrap();
        let key = ExtendedSecret {
            key: secret("1837c1be8e2995ec11cda2b066151be2cfb48adf9e47b151d46adab3a21cdf67"),
            chain_code: secret("7923408dadd3c7b56eed15567707ae5e5dca089de972e07f3b860450e2a3b70e"),
        };
        let fake = FakeCard::initialised()
            .answering(&(UID.to_owned() + "9000"))
            .answering(&export_answer(MASTER))
            .answering(&export_answer(CHAT));
        let mut card = unlocked(fake);
        let mut receipt = recorded(card.request(Operation::LoadExtendedKey));
        assert_eq!(card.load_extended_key(&key, &mut receipt).unwrap().to_string(), UID);
        let sent = hex::encode(&card.into_transport().inner_commands()[1]);
        assert_eq!(
            sent,
            format!("80d0020046a1448120{}8220{}", hex::encode(key.key.expose()), hex::encode(key.chain_code.expose()))
        );
    }

    #[test]
    fn a_short_seed_goes_to_3_2_and_later_and_a_lee_seed_to_4_0() {
        let short = Seed::from_slice(&[7; 16]).unwrap();
        let mut card = aged(unlocked(FakeCard::initialised().answering("6f00")), Version::V3_1);
        let mut receipt = recorded(card.request(Operation::LoadKey));
        assert!(matches!(card.load_seed(&short, &mut receipt), Err(CardError::Unsupported { .. })));
        let mut lee = recorded(card.request(Operation::LoadLeeSeed));
        assert!(matches!(card.load_lee_seed(&short, &mut lee), Err(CardError::Unsupported { .. })));
        let mut card = aged(card, Version::V3_2);
        assert!(matches!(card.load_lee_seed(&short, &mut lee), Err(CardError::Unsupported { .. })));
        assert!(!receipt.is_spent() && !lee.is_spent());
        assert!(matches!(card.load_seed(&short, &mut receipt), Err(CardError::Status { .. })));
        let sent = hex::encode(&card.into_transport().inner_commands()[1]);
        assert_eq!(sent, format!("80d0030010{}", "07".repeat(16)));
    }

    #[test]
    fn a_number_that_is_no_key_is_not_sent() {
        let mut card = unlocked(FakeCard::initialised());
        let mut receipt = recorded(card.request(Operation::LoadKeyPair));
        for bytes in [[0; 32], [0xff; 32]] {
            let key = Secret::fill(|room| *room = bytes);
            assert!(matches!(card.load_key_pair(&key, &mut receipt), Err(CardError::Misuse { .. })));
            let key = ExtendedSecret { key, chain_code: one() };
            assert!(matches!(card.load_extended_key(&key, &mut receipt), Err(CardError::Misuse { .. })));
        }
        assert_eq!(card.into_transport().inner_commands().len(), 1, "only VERIFY PIN");
    }

    #[test]
    fn the_keys_of_another_account_are_forgotten_when_one_is_loaded() {
        let fake = FakeCard::initialised()
            .answering(&export_answer(G))
            .answering(&(UID.to_owned() + "9000"))
            .answering(&export_answer(MASTER))
            .answering(&export_answer(CHAT))
            .answering(&export_answer(G));
        let mut card = unlocked(fake);
        let master = KeyPath::master();
        let mut public = recorded(card.request(Operation::ExportPublic(master.clone())));
        card.export_public(&master, &mut public).unwrap();
        card.load_seed(&abandon(), &mut recorded(card.request(Operation::LoadKey))).unwrap();
        let mut public = recorded(card.request(Operation::ExportPublic(master.clone())));
        let error = card.export_public(&master, &mut public).unwrap_err();
        assert!(matches!(error, CardError::OtherAccount { .. }), "{error}");
    }
}

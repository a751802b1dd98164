//! Known answers, through the card: keys derived from published seeds, and the byte-exact synthetic session.
#![allow(clippy::unwrap_used, clippy::panic, clippy::indexing_slicing, reason = "a test fails by panicking")]

mod common;

use common::{Client, DURESS, INIT, KEYCARD, LOAD_ABANDON, PIN};
use k256::SecretKey;
use k256::ecdsa::{RecoveryId, Signature, VerifyingKey};
use k256::elliptic_curve::sec1::ToSec1Point;
use proto::TestDice;
use sha2::{Digest, Sha256};
use softcard::{Model, SoftCard};

const PRIVATE: u8 = 0;
const PUBLIC: u8 = 1;
const EXTENDED: u8 = 2;

/// The whole data of an EXPORT KEY that must succeed.
fn export(client: &mut Client, form: u8, path: &str) -> String {
    let reply = client.export(form, path);
    assert_eq!(reply.sw, 0x9000, "{path}");
    hex::encode(reply.data)
}

fn private(digits: &str) -> String {
    format!("a1228120{digits}")
}

fn public(digits: &str) -> String {
    format!("a1438041{digits}")
}

fn extended(key: &str, chain: &str) -> String {
    format!("a1658041{key}8220{chain}")
}

fn load(client: &mut Client, seed: &str) -> String {
    hex::encode(client.ok(&format!("80d00300{:02x}{seed}", seed.len() / 2)))
}

const ABANDON_MASTER: &str = "04d902f35f560e0470c63313c7369168d9d7df2d49bf295fd9fb7cb109ccee04947d000a1345d3845dd83b4c5814f876c918305b598f066c958fad972bf59f2ec7";

/// KC-16: the key UID is SHA-256 of the master public key, in the answer of LOAD KEY and in SELECT.
#[test]
fn abandon_about_has_its_key_uid_and_master_key() {
    let mut client = Client::loaded(1);
    let uid = hex::encode(client.ok(LOAD_ABANDON));
    assert_eq!(uid, "16f5b9c7657df5e0b45016292d852a36622fb39b63c28017ccf21633270858f1");
    assert_eq!(export(&mut client, PUBLIC, "m"), public(ABANDON_MASTER));
    assert_eq!(uid, hex::encode(Sha256::digest(hex::decode(ABANDON_MASTER).unwrap())));
    let template = client.select(&KEYCARD).data;
    assert_eq!(hex::encode(&template[..45]), format!("a4818f020204008c01138e20{uid}8d"));
}

/// KC-17: the chat ("whisper") key is m/43'/60'/1581'/0'/0 and leaves the card with its private part.
#[test]
fn abandon_about_has_its_chat_key() {
    let mut client = Client::loaded(1);
    let path = "m/43'/60'/1581'/0'/0";
    assert_eq!(
        export(&mut client, PRIVATE, path),
        private("20e61d44eb73cb7d5ff4526bac8c0b96451d8e018b2d6c79022e7ce3b583a754")
    );
    assert_eq!(
        export(&mut client, PUBLIC, path),
        public(
            "041c0b489f112aa9334a0c41e349757e3edd6b0ce761bebc6b14b4901a10aa77966f0b3648e289857fe223ed0230f7383c420ec303b620f07503e1ac66beab0837"
        )
    );
}

#[test]
fn abandon_about_has_its_encryption_key() {
    let mut client = Client::loaded(1);
    let path = "m/43'/60'/1581'/1'/0";
    assert_eq!(
        export(&mut client, PRIVATE, path),
        private("b827e4218e20d197e0de00fe3a55612ceb3bd8f5eed42f2ccb922ff28d5232e5")
    );
    assert_eq!(
        export(&mut client, PUBLIC, path),
        public(
            "043eb2753a0c40fb3a35255f6dd49ccc3d0bae1d63b876b17d419faa950691c3ebaee08ed2c51a742b5a956fd67c115527b346767cbee259a7c79e8aebb5601f39"
        )
    );
}

/// KC-09: the public key of a derived path.
#[test]
fn abandon_about_has_its_eip_1581_root() {
    let mut client = Client::loaded(1);
    assert_eq!(
        export(&mut client, PUBLIC, "m/43'/60'/1581'"),
        public(
            "04f06daa9cc9d74e8b82108c9dbdbb5f2e06a7883753f7013db10531cd711ffdd0dfabd8548499366445e724bd2f9c42a5882017f07420a6b923fd5d2a6cff158d"
        )
    );
}

#[test]
fn abandon_about_has_its_wallet_root_with_chain_code() {
    let mut client = Client::loaded(1);
    assert_eq!(
        export(&mut client, EXTENDED, "m/44'/60'/0'/0"),
        extended(
            "04ccf96184b4d342c523936910e0222be7131654842db75bb1a5cbc772fe21b2d6285b9ba76d05471e771e3a3be18a313a6ce7a1d3b6a2d21f5b60ba8c03097338",
            "c879d136f02003dc804811e42390714ea06448aeaee158c62d65f12a421d988f"
        )
    );
    assert_eq!(
        export(&mut client, PUBLIC, "m/44'/60'/0'/0/0"),
        public(
            "0437b0bb7a8288d38ed49a524b5dc98cff3eb5ca824c9f9dc0dfdb3d9cd600f299a6179912b7451c09896c4098eca7ce6b2e58330672795e847c4d6af44e024230"
        )
    );
}

#[test]
fn under_the_duress_pin_every_derived_key_of_abandon_about_differs() {
    let mut client = Client::loaded(1);
    client.verify(DURESS);
    assert_eq!(export(&mut client, PUBLIC, "m"), public(ABANDON_MASTER), "the master key is the same");
    assert_eq!(
        export(&mut client, PRIVATE, "m/43'/60'/1581'/0'/0"),
        private("a92d6fdea4b5326a7cf8f524fcd193059e63a13b770c8082f164764c66a01e15")
    );
    assert_eq!(
        export(&mut client, PRIVATE, "m/43'/60'/1581'/1'/0"),
        private("6c6208912cb48b1bd6f329ab31f7d959c28d5ef486b685477cbf7069ab4b3ab5")
    );
    assert_eq!(
        export(&mut client, PUBLIC, "m/43'/60'/1581'/1'/0"),
        public(
            "04f00fa8d83e927b484d28aa39baca75d1f4215e1a3853b8859e524d6d706434c02a7a7c0aa64d0e94640c53b1f4f7936b54cf7b27d5387a3d6e3dac153c3957f2"
        )
    );
    assert_eq!(
        export(&mut client, EXTENDED, "m/44'/60'/0'/0"),
        extended(
            "0406209eb0f5a33a65f6b4693fc1ac806821fabee6ce29af3c72181b0a3636bf438ba5e27621381d101a53f2ba967fc0aa8fd60fa08c8511abc4a9a13a4b7ea248",
            "61fdfd3c0607208a1fc998bf57d4f4130819576888b1c329cad9885a96c4df43"
        )
    );
    client.verify(PIN);
    assert_eq!(
        export(&mut client, PRIVATE, "m/43'/60'/1581'/0'/0"),
        private("20e61d44eb73cb7d5ff4526bac8c0b96451d8e018b2d6c79022e7ce3b583a754"),
        "the main PIN opens the standard tree again"
    );
}

#[test]
fn the_counting_seed_has_its_key_uid() {
    let mut client = Client::loaded(1);
    let seed: Vec<u8> = (0..64).collect();
    assert_eq!(
        load(&mut client, &hex::encode(seed)),
        "013b89b98c76046c1973a898aa11016eade5051242632b77853cfe3ed7d8fc2f"
    );
}

/// The mnemonic of the applet's own test-suite; its seed was computed by PBKDF2 outside of this project.
#[test]
fn legal_winner_has_its_master_and_chat_key() {
    let mut client = Client::loaded(1);
    load(&mut client, LEGAL_WINNER);
    assert_eq!(
        export(&mut client, PUBLIC, "m"),
        public(
            "04cc620f846055ed43995391ca5e490c52251ea40453f64a0515bef84c24a653a7c4e02b9de56f66d9ee58dc6b591b534f5a20c0550b2c33a086b90b866cf70799"
        )
    );
    assert_eq!(
        export(&mut client, PUBLIC, "m/43'/60'/1581'/0'/0"),
        public(
            "04e7370d118461e1ab01f3e86e88c4b0c7b92cecb79c5e320cef73dda912f173beae74df15090b6405a274963c054cdfe6ac7843a302c260390d1fe776008f310e"
        )
    );
}

const LEGAL_WINNER: &str = "b059400ce0f55498a5527667e77048bb482ff6daa16c37b4b9e8af70c85b3f4df588004f19812a1a027c9a51e5e94259a560268e91cd10e206451a129826e740";

/// The synthetic v2 session: identity 03 x 32, card's one-time key 02 x 32, host's 01 x 32, salt 00..1f.
#[test]
fn the_synthetic_session_is_byte_exact() {
    // Dice: identity; one-time key and coin of the channel that prepares the card; the same of the one that counts.
    let dice = TestDice::playing(&[&[3; 32][..], &[7; 32], &[9; 32], &[0], &[2; 32], &[0]].concat());
    let mut client = Client::new(SoftCard::in_memory(Model::V4_0, Box::new(dice)));
    client.select(&KEYCARD);
    client.open();
    client.ok(INIT);
    client.verify(PIN);
    client.ok(LOAD_ABANDON);
    client.select(&KEYCARD);

    let mut salt = [0; 32];
    (0u8..).zip(salt.iter_mut()).for_each(|(n, byte)| *byte = n);
    let opened = client.open_with(&SecretKey::from_slice(&[1; 32]).unwrap(), &salt);
    assert_eq!(
        hex::encode(&opened.data[..65]),
        "044d4b6cd1361032ca9bd2aeb9d900aa4d45d9ead80ac9423374c451a7254d07662a3eada2d0fe208b6d257ceb0f064284662e857f57b66b54c198bd310ded36d0"
    );
    assert_eq!(
        hex::encode(client.card.identity().unwrap()),
        "02531fe6068134503d2723133227c867ac8fa6c83c537e9a44c3c5bdbdcb1fe337"
    );
    for (command, answer) in [
        ("801800000defd85ada2f90a203e2f61c4e6b", "b7f724742f02e3098fea838b53116334e1c55170269000"),
        ("8018000013804f26fb3329e885f6b5ccaf40a75daafe0b82", "6f02499da0e4bc86e72e9000"),
        (
            "8018000021d2c4a0b37677ba2537e31f26ef7441a604db403930f27d6b2ff2c145e7a12dce95",
            "89ab091f3258f7a18ba4b501870b7b47916c0ab89eb161ba163627bec05c0f086a5882b92e88d62d3747db979ede9000",
        ),
        ("801800000d3bf87546c2f25a2ba2b19fe032", "90229763f0935c9a00289000"),
    ] {
        let command = hex::decode(command).unwrap();
        assert_eq!(hex::encode(client.card.transmit(&command)), answer);
    }
}

/// The public test CA, by whose word a software card is known.
#[test]
fn the_certificate_is_signed_by_the_test_authority() {
    let mut client = Client::open_blank(3);
    client.select(&KEYCARD);
    let certificate = client.certificate.unwrap();
    let (public, signature) = certificate.split_at(33);
    assert_eq!(public, client.card.identity().unwrap());
    let authority = VerifyingKey::recover_from_prehash(
        &Sha256::digest(public),
        &Signature::from_slice(&signature[..64]).unwrap(),
        RecoveryId::from_byte(signature[64]).unwrap(),
    )
    .unwrap();
    assert_eq!(
        hex::encode(authority.to_sec1_point(true).as_bytes()),
        "025877220aaae6e54a6f974602d5995c0fe24a3ea7ddabd8644bec795b9da00743"
    );
}

/// The applet does not normalise `s` in OPEN: a client that insists on low `s` fails on half of the openings.
#[test]
fn openings_are_signed_with_high_and_low_s() {
    let mut client = Client::open_blank(4);
    let (mut high, mut low) = (0, 0);
    for _ in 0..32 {
        let signature = Signature::from_der(&client.open().data[65..]).unwrap();
        if signature == signature.normalize_s() { low += 1 } else { high += 1 }
    }
    assert!(high > 0 && low > 0, "{high} high, {low} low");
}

/// A master key as the applet's own test-suite loads it.
const SUITE_KEY: &str = "80d0020046a14481203f15e5d852dc2e9ba5e9fe189a8dd2e1547badef5b563bbe6579fc6807d80ed982201b67969d1ec69bdfeeae43213da8460ba34b92d0788c8f7bfcfa44906e8a589c";

/// The applet's test-suite, `KeycardTest.java`: BIP-85 at m/83696968'/0'/0', and ECDH with private key 2.
#[test]
fn the_suite_s_key_has_its_entropy_and_shared_secrets() {
    let mut client = Client::loaded(1);
    let uid = client.ok(SUITE_KEY);
    assert_eq!(hex::encode(uid), "489a90ae98c3796bc37637610af250e9e025bb7522eb5a00b705acf5345c9429");
    let entropy = client.ok("80c440000c84fd1d488000000080000000");
    assert_eq!(
        hex::encode(&entropy),
        "efecfbccffea313214232d29e71563d941229afb4338c21f9517c41aaa0d16f00b83d2a09ef747e7a64e8e2bd5a14869e693da66ce94ac2da570ab7ee48618f7"
    );
    assert_eq!(client.ok("80c410000c84fd1d488000000080000000"), entropy[..16]);

    let two = SecretKey::from_slice(&[&[0; 31][..], &[2]].concat()).unwrap();
    let peer = hex::encode(two.public_key().to_sec1_point(false).as_bytes());
    for (path, shared) in [
        (
            "8000002c800004d5800000000000000000000000",
            "61a56a403a5be9a83ae4ba33d580611db5a57586f999a134daba516929905ec6",
        ),
        (
            "8000002b8000003c8000062d8000000000000000",
            "513fbb10f54297573f05085f9f80b7d8418c4f6805960051667916b45c68e6d4",
        ),
    ] {
        assert_eq!(hex::encode(client.ok(&format!("80c5010055{peer}{path}"))), shared);
    }
}

/// The applet's test-suite again: the LEE keys of a mnemonic, at m/43'/60'.
#[test]
fn a_lee_seed_has_its_keys_and_another_ordinary_tree() {
    let words = "fan empower output between game genius forest bulk party small arm shuffle";
    let mut seed = [0; 64];
    pbkdf2::pbkdf2_hmac::<sha2::Sha512>(words.as_bytes(), b"mnemonic", 2048, &mut seed);
    let mut client = Client::loaded(1);
    client.ok(&format!("80d0040040{}", hex::encode(seed)));
    assert_eq!(
        export(&mut client, PUBLIC, "m/43'/60'"),
        public(
            "045bdbe46824409ae66c960f4a204ac66adc1646dcfa56a5b455629f99b95a643012390c799fb8a1f5e9140dfe9f6088ab1ded90f496c9d8832df501e3c8e9c45f"
        )
    );
    assert_eq!(
        hex::encode(client.ok("80c30000088000002b8000003c")),
        "a1648320a44386392e2112c8c46a7f8378b4c3163011a76664a2b1d23e25a6f35ef907398440d06cc239011a56c8aecec0579b884227d637496a6e3e8f27d70e170f2ec3fa0d97dc323114bb420ef3061010446a9b4cf321ebc895ac8b7f261e3fbcaef79a67"
    );
    assert_eq!(client.select(&KEYCARD).data[9], 0x33, "SELECT says so");
    client.open();
    client.verify(PIN);
    client.ok(LOAD_ABANDON);
    assert_eq!(client.send("80c30000").sw, 0x6985);
}

/// GENERATE MNEMONIC of known entropy: BIP-39's own first vectors.
#[test]
fn the_words_of_known_entropy_are_the_ones_of_bip_39() {
    let start = [[3; 32], [7; 32], [9; 32]].concat();
    let dice = [&start[..], &[0], &[0x00; 16], &[0x7f; 16], &[0xff; 16]].concat();
    let mut client = Client::new(SoftCard::in_memory(Model::V4_0, Box::new(TestDice::playing(&dice))));
    client.select(&KEYCARD);
    client.open();
    client.ok(INIT);
    let words = |indexes: [u16; 12]| indexes.iter().flat_map(|index| index.to_be_bytes()).collect::<Vec<u8>>();
    assert_eq!(client.ok("80d20400"), words([0, 0, 0, 0, 0, 0, 0, 0, 0, 0, 0, 3]), "abandon ... about");
    let legal = [1019, 2015, 1790, 2039, 1983, 1533, 2031, 1919, 1019, 2015, 1790, 2040];
    assert_eq!(client.ok("80d20400"), words(legal), "legal winner ... yellow");
    let zoo = [2047, 2047, 2047, 2047, 2047, 2047, 2047, 2047, 2047, 2047, 2047, 2037];
    assert_eq!(client.ok("80d20400"), words(zoo), "zoo ... wrong");
}

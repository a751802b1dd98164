//! Known keys, as in the tests of the `keycard` crate: those of "abandon" eleven times and "about", which go back to the
//! applet itself, and those of the applet's own test suite.

/// The seed of the mnemonic, without a passphrase.
pub(crate) const SEED: &str = "5eb00bbddcf069084889a8ab9155568165f5c453ccb85e70811aaed6f6da5fc19a5ac40b389cd370d086206dec8aa6c43daea6690f20ad3d8d48b2d2ce9e38e4";
pub(crate) const KEY_UID: &str = "16f5b9c7657df5e0b45016292d852a36622fb39b63c28017ccf21633270858f1";
pub(crate) const MASTER_PUBLIC: &str = "04d902f35f560e0470c63313c7369168d9d7df2d49bf295fd9fb7cb109ccee04947d000a1345d3845dd83b4c5814f876c918305b598f066c958fad972bf59f2ec7";

pub(crate) const CHAT: &str = "m/43'/60'/1581'/0'/0";
pub(crate) const CHAT_PRIVATE: &str = "20e61d44eb73cb7d5ff4526bac8c0b96451d8e018b2d6c79022e7ce3b583a754";
pub(crate) const CHAT_PUBLIC: &str = "041c0b489f112aa9334a0c41e349757e3edd6b0ce761bebc6b14b4901a10aa77966f0b3648e289857fe223ed0230f7383c420ec303b620f07503e1ac66beab0837";
pub(crate) const CHAT_OF_DURESS: &str = "a92d6fdea4b5326a7cf8f524fcd193059e63a13b770c8082f164764c66a01e15";

pub(crate) const ENCRYPTION: &str = "m/43'/60'/1581'/1'/0";
pub(crate) const ENCRYPTION_PRIVATE: &str = "b827e4218e20d197e0de00fe3a55612ceb3bd8f5eed42f2ccb922ff28d5232e5";

/// The parent of the chat key: one component short of what may leave the card.
pub(crate) const CHAT_PARENT: &str = "m/43'/60'/1581'/0'";
pub(crate) const EIP_1581: &str = "m/43'/60'/1581'";
pub(crate) const EIP_1581_PUBLIC: &str = "04f06daa9cc9d74e8b82108c9dbdbb5f2e06a7883753f7013db10531cd711ffdd0dfabd8548499366445e724bd2f9c42a5882017f07420a6b923fd5d2a6cff158d";

pub(crate) const WALLET_ROOT: &str = "m/44'/60'/0'/0";
pub(crate) const WALLET_ROOT_PUBLIC: &str = "04ccf96184b4d342c523936910e0222be7131654842db75bb1a5cbc772fe21b2d6285b9ba76d05471e771e3a3be18a313a6ce7a1d3b6a2d21f5b60ba8c03097338";
pub(crate) const WALLET_ROOT_CHAIN: &str = "c879d136f02003dc804811e42390714ea06448aeaee158c62d65f12a421d988f";
pub(crate) const WALLET: &str = "m/44'/60'/0'/0/0";
pub(crate) const WALLET_PUBLIC: &str = "0437b0bb7a8288d38ed49a524b5dc98cff3eb5ca824c9f9dc0dfdb3d9cd600f299a6179912b7451c09896c4098eca7ce6b2e58330672795e847c4d6af44e024230";
pub(crate) const WALLET_ADDRESS: &str = "0x9858effd232b4033e47d90003d41ec34ecaeda94";
/// `WALLET` as the card keeps it.
pub(crate) const WALLET_BYTES: &str = "8000002c8000003c800000000000000000000000";

/// The authority that vouches for software cards; its private key is public.
pub(crate) const TEST_CA: &str = "025877220aaae6e54a6f974602d5995c0fe24a3ea7ddabd8644bec795b9da00743";

/// The seed of "fan empower output between game genius forest bulk party small arm shuffle".
pub(crate) const LEE_SEED: &str = "763dd5371d293062e597d5df6c7cbcf56ce4fdaba8aca3f9be3caa467df331ae2576c48011d31007af1803314f050bf29792229d8305fd537ffce72689fa348a";
pub(crate) const LEE_PATH: &str = "m/43'/60'";
pub(crate) const LEE_PUBLIC: &str = "045bdbe46824409ae66c960f4a204ac66adc1646dcfa56a5b455629f99b95a643012390c799fb8a1f5e9140dfe9f6088ab1ded90f496c9d8832df501e3c8e9c45f";
pub(crate) const LEE_NSK: &str = "a44386392e2112c8c46a7f8378b4c3163011a76664a2b1d23e25a6f35ef90739";
pub(crate) const LEE_VSK: &str = "d06cc239011a56c8aecec0579b884227d637496a6e3e8f27d70e170f2ec3fa0d97dc323114bb420ef3061010446a9b4cf321ebc895ac8b7f261e3fbcaef79a67";

/// A key of the applet's test suite, loaded as private key and chain code.
pub(crate) const OTHER_PRIVATE: &str = "3f15e5d852dc2e9ba5e9fe189a8dd2e1547badef5b563bbe6579fc6807d80ed9";
pub(crate) const OTHER_CHAIN: &str = "1b67969d1ec69bdfeeae43213da8460ba34b92d0788c8f7bfcfa44906e8a589c";
pub(crate) const OTHER_KEY_UID: &str = "489a90ae98c3796bc37637610af250e9e025bb7522eb5a00b705acf5345c9429";
pub(crate) const BIP_85: &str = "m/83696968'/0'/0'";
pub(crate) const BIP_85_BYTES: &str = "efecfbccffea313214232d29e71563d941229afb4338c21f9517c41aaa0d16f00b83d2a09ef747e7a64e8e2bd5a14869e693da66ce94ac2da570ab7ee48618f7";
/// The public key of the private key 2.
pub(crate) const PEER_PUBLIC: &str = "04c6047f9441ed7d6d3045406e95c07cd85c778e4b8cef3ca7abac09b95c709ee51ae168fea63dc339a3c58419466ceaeef7f632653266d0e1236431a950cfe52a";
pub(crate) const NIP_44: &str = "m/44'/1237'/0'/0/0";
pub(crate) const NIP_44_SHARED: &str = "61a56a403a5be9a83ae4ba33d580611db5a57586f999a134daba516929905ec6";
pub(crate) const CHAT_SHARED: &str = "513fbb10f54297573f05085f9f80b7d8418c4f6805960051667916b45c68e6d4";

//! The search for a secret in what a program gave out: each form in which its bytes could stand there.
//!
//! The invariant: what is found is named by its secret and its form, never shown.

/// One form of a secret.
pub struct Form {
    /// The encoding.
    pub encoding: &'static str,
    bytes: Vec<u8>,
}

impl Form {
    /// Returns where this form stands in `text`, if it does.
    #[must_use]
    pub fn find(&self, text: &[u8]) -> Option<usize> {
        let Self { bytes, .. } = self;
        let (first, length) = (bytes.first()?, bytes.len());
        // Six digits occur by chance in long numbers and hashes: a short form counts only where it stands alone.
        let alone = length < SHORT && bytes.iter().all(u8::is_ascii_alphanumeric);
        let part_of_more = |at: usize| {
            let before = at.checked_sub(1).and_then(|before| text.get(before));
            let after = text.get(at.saturating_add(length));
            [before, after].into_iter().flatten().any(u8::is_ascii_alphanumeric)
        };
        let mut from = 0;
        while let Some(rest) = text.get(from..) {
            let at = from.checked_add(rest.iter().position(|byte| byte == first)?)?;
            if text.get(at..at.checked_add(length)?) == Some(bytes.as_slice()) && !(alone && part_of_more(at)) {
                return Some(at);
            }
            from = at.checked_add(1)?;
        }
        None
    }
}

impl Drop for Form {
    fn drop(&mut self) {
        zeroize::Zeroize::zeroize(&mut self.bytes);
    }
}

/// Returns every form in which these bytes could be found.
#[must_use]
pub fn forms(secret: &[u8]) -> Vec<Form> {
    let hex = hex::encode(secret);
    let decimal = secret.iter().map(u8::to_string).collect::<Vec<_>>();
    let mut forms = vec![
        form("raw", secret.to_vec()),
        form("hexadecimal", hex.clone().into_bytes()),
        form("hexadecimal in capitals", hex.to_uppercase().into_bytes()),
        form("spaced hexadecimal", spaced(&hex, " ")),
        form("hexadecimal with colons", spaced(&hex, ":")),
        form("decimal list", decimal.join(",").into_bytes()),
        form("decimal list", decimal.join(", ").into_bytes()),
        form("reversed", secret.iter().rev().copied().collect()),
        form("UTF-16", secret.iter().flat_map(|byte| [*byte, 0]).collect()),
        form("escaped", secret.escape_ascii().to_string().into_bytes()),
    ];
    for (encoding, last) in [("base64", b"+/"), ("base64url", b"-_")] {
        // In a longer text a secret begins at any of the three places of a base64 group.
        for skipped in 0..3 {
            let whole = secret.get(skipped..).map(|rest| rest.chunks_exact(3).flatten().copied().collect::<Vec<u8>>());
            // What is too little to tell from chance is not looked for.
            if let Some(whole) = whole.filter(|whole| whole.len() >= 3) {
                forms.push(form(encoding, base64(&whole, last)));
            }
        }
    }
    // Digits read the same escaped as raw; each form is looked for once.
    let mut seen: Vec<Vec<u8>> = Vec::new();
    forms.retain(|form| {
        !seen.contains(&form.bytes) && {
            seen.push(form.bytes.clone());
            true
        }
    });
    forms
}

/// Returns the forms of a mnemonic's words: three neighbours in a row are enough to be a leak.
#[must_use]
pub fn words(mnemonic: &str) -> Vec<Form> {
    let words: Vec<&str> = mnemonic.split_whitespace().collect();
    let mut forms = Vec::new();
    for three in words.windows(3) {
        for between in [" ", ", ", ",", "\n", "\",\"", "\", \"", "\\n"] {
            forms.push(form("words", three.join(between).into_bytes()));
        }
    }
    forms
}

const fn form(encoding: &'static str, bytes: Vec<u8>) -> Form {
    Form { encoding, bytes }
}

fn spaced(hex: &str, between: &str) -> Vec<u8> {
    let pairs: Vec<&str> = hex.as_bytes().chunks(2).filter_map(|pair| std::str::from_utf8(pair).ok()).collect();
    pairs.join(between).into_bytes()
}

fn base64(bytes: &[u8], last: &[u8; 2]) -> Vec<u8> {
    let alphabet: Vec<u8> = (b'A'..=b'Z').chain(b'a'..=b'z').chain(b'0'..=b'9').chain(last.iter().copied()).collect();
    let mut text = Vec::new();
    for group in bytes.chunks(3) {
        let bits = group.iter().fold(0_usize, |bits, byte| bits << 8 | usize::from(*byte));
        text.extend([18, 12, 6, 0].into_iter().filter_map(|shift| alphabet.get(bits >> shift & 63)));
    }
    text
}

/// The shorter alphanumeric forms count only where they stand alone.
const SHORT: usize = 12;

#[cfg(test)]
mod tests {
    use super::*;

    fn found(text: &[u8], forms: &[Form]) -> Vec<&'static str> {
        forms.iter().filter(|form| form.find(text).is_some()).map(|form| form.encoding).collect()
    }

    /// Each line was made by another program, so that the search is not held against itself.
    #[test]
    fn a_planted_secret_is_found_in_each_encoding() {
        let secret = b"\x01#Eg\x89\xab\xcd\xef\xfe\xdc\xba\x98vT2\x10";
        let forms = forms(secret);
        for (encoding, text) in [
            ("raw", b"\x01#Eg\x89\xab\xcd\xef\xfe\xdc\xba\x98vT2\x10".as_slice()),
            ("hexadecimal", b"0123456789abcdeffedcba9876543210"),
            ("hexadecimal in capitals", b"0123456789ABCDEFFEDCBA9876543210"),
            ("spaced hexadecimal", b"01 23 45 67 89 ab cd ef fe dc ba 98 76 54 32 10"),
            ("hexadecimal with colons", b"01:23:45:67:89:ab:cd:ef:fe:dc:ba:98:76:54:32:10"),
            ("decimal list", b"[1, 35, 69, 103, 137, 171, 205, 239, 254, 220, 186, 152, 118, 84, 50, 16]"),
            ("decimal list", b"[1,35,69,103,137,171,205,239,254,220,186,152,118,84,50,16]"),
            ("reversed", b"\x102Tv\x98\xba\xdc\xfe\xef\xcd\xab\x89gE#\x01"),
            ("UTF-16", b"\x01\0#\0E\0g\0\x89\0\xab\0\xcd\0\xef\0\xfe\0\xdc\0\xba\0\x98\0v\0T\x002\0\x10\0"),
            ("escaped", b"\\x01#Eg\\x89\\xab\\xcd\\xef\\xfe\\xdc\\xba\\x98vT2\\x10"),
            ("base64", b"ASNFZ4mrze/+3LqYdlQyEA=="),
            ("base64url", b"ASNFZ4mrze_-3LqYdlQyEA"),
        ] {
            let text = [b"before ", text, b" after"].concat();
            assert!(found(&text, &forms).contains(&encoding), "{encoding}");
        }
        // base64 of "a" and of "ab" before the same bytes.
        for text in ["YQEjRWeJq83v/ty6mHZUMhA=", "YWIBI0VniavN7/7cuph2VDIQ"] {
            assert_eq!(found(text.as_bytes(), &forms), ["base64"], "{text}");
        }
        assert_eq!(found(b"0123456789abcdef fedcba9876543210", &forms), [""; 0]);
        assert_eq!(found(b"", &forms), [""; 0]);
    }

    #[test]
    fn a_pin_counts_where_it_stands_alone() {
        let forms = forms(b"493817");
        assert_eq!(found(b"pin=493817,", &forms), ["raw"]);
        assert_eq!(found(b"493817", &forms), ["raw"]);
        assert_eq!(found(b"ab493817cd 1493817", &forms), [""; 0]);
        assert_eq!(found(b"1493817 493817", &forms), ["raw"], "a later place counts");
        assert_eq!(found(b"\"NDkzODE3\"", &forms), ["base64"]);
        assert_eq!(found(b"4\x009\x003\x008\x001\x007\x00", &forms), ["UTF-16"]);
        assert_eq!(found(b"718394", &forms), ["reversed"]);
    }

    #[test]
    fn three_words_in_a_row_are_a_leak_and_two_are_none() {
        let forms = words("legal winner thank year wave sausage");
        for text in
            ["legal winner thank", "x[\"thank\",\"year\",\"wave\"]", "winner\nthank\nyear", "year, wave, sausage"]
        {
            assert_eq!(found(text.as_bytes(), &forms), ["words"], "{text}");
        }
        assert_eq!(found(b"legal winner x thank year", &forms), [""; 0]);
    }
}

//! `ssl_ciphers`: OpenSSL's lists of cipher suites, for those that there are.
//!
//! ```text
//! term : term ...      adds what the term names, in that order; , and blanks divide as well
//! !term -term +term    never; not for now; to the end
//! word+word            what both words name
//! ```
//!
//! As there, a list decides on TLS 1.2 only, and what it names and nobody knows is left out.

use rustls::{CipherSuite, SupportedCipherSuite};

/// OpenSSL's name of a suite of TLS 1.2, and the words that name it besides.
#[rustfmt::skip] // A table.
const NAMES: [(CipherSuite, &str, &[&str]); 6] = [
    (CipherSuite::TLS_ECDHE_ECDSA_WITH_AES_256_GCM_SHA384, "ECDHE-ECDSA-AES256-GCM-SHA384",
        &["ECDSA", "aECDSA", "AES", "AES256", "AESGCM", "SHA384"]),
    (CipherSuite::TLS_ECDHE_ECDSA_WITH_AES_128_GCM_SHA256, "ECDHE-ECDSA-AES128-GCM-SHA256",
        &["ECDSA", "aECDSA", "AES", "AES128", "AESGCM", "SHA256"]),
    (CipherSuite::TLS_ECDHE_ECDSA_WITH_CHACHA20_POLY1305_SHA256, "ECDHE-ECDSA-CHACHA20-POLY1305",
        &["ECDSA", "aECDSA", "CHACHA20"]),
    (CipherSuite::TLS_ECDHE_RSA_WITH_AES_256_GCM_SHA384, "ECDHE-RSA-AES256-GCM-SHA384",
        &["aRSA", "AES", "AES256", "AESGCM", "SHA384"]),
    (CipherSuite::TLS_ECDHE_RSA_WITH_AES_128_GCM_SHA256, "ECDHE-RSA-AES128-GCM-SHA256",
        &["aRSA", "AES", "AES128", "AESGCM", "SHA256"]),
    (CipherSuite::TLS_ECDHE_RSA_WITH_CHACHA20_POLY1305_SHA256, "ECDHE-RSA-CHACHA20-POLY1305",
        &["aRSA", "CHACHA20"]),
];

/// Words for all of them.
const ALL: [&str; 9] = [
    "ALL", "DEFAULT", "HIGH", "ECDHE", "EECDH", "kECDHE", "kEECDH", "TLSv1.2", "FIPS",
];

/// Those of `suites` that `list` allows, in its order; the error is what is wrong with it.
pub(super) fn select(
    list: &str,
    suites: Vec<SupportedCipherSuite>,
) -> Result<Vec<SupportedCipherSuite>, String> {
    let (old, mut selected): (Vec<_>, Vec<_>) = suites
        .into_iter()
        .partition(|suite| suite.tls13().is_none());
    let mut chosen: Vec<SupportedCipherSuite> = Vec::new();
    let mut never: Vec<CipherSuite> = Vec::new();
    let divides = |c: char| c == ':' || c == ',' || c == ';' || c.is_whitespace();
    for term in list.split(divides).filter(|term| !term.is_empty()) {
        let (sign, words) = match term.chars().next() {
            Some(sign @ ('!' | '-' | '+')) => (sign, term.get(1..).unwrap_or_default()),
            _ => (' ', term),
        };
        let named = |suite: &SupportedCipherSuite| {
            words.split('+').all(|word| is_named(suite.suite(), word))
        };
        match sign {
            ' ' => {
                for suite in old.iter().filter(|suite| named(suite)) {
                    if !chosen.contains(suite) && !never.contains(&suite.suite()) {
                        chosen.push(*suite);
                    }
                }
            }
            '+' => chosen.sort_by_key(named),
            _ => {
                chosen.retain(|suite| !named(suite));
                if sign == '!' {
                    let all = old.iter().filter(|suite| named(suite));
                    never.extend(all.map(SupportedCipherSuite::suite));
                }
            }
        }
    }
    if chosen.is_empty() {
        let known: Vec<&str> = NAMES.iter().map(|(_, name, _)| *name).collect();
        let known = known.join(", ");
        return Err(format!(
            "{list:?} allows none of TLS 1.2, which are {known}"
        ));
    }
    selected.extend(chosen);
    Ok(selected)
}

fn is_named(suite: CipherSuite, word: &str) -> bool {
    let known = NAMES.iter().find(|(known, ..)| *known == suite);
    known.is_some_and(|(_, name, words)| {
        *name == word || words.contains(&word) || ALL.contains(&word)
    })
}

#[cfg(test)]
mod tests {
    use super::*;

    fn selected(list: &str) -> Result<Vec<&'static str>, String> {
        let suites = rustls::crypto::ring::default_provider().cipher_suites;
        let count = suites.len();
        assert_eq!(count, NAMES.len() + 3, "a suite without a name");
        let selected = select(list, suites)?;
        let old = selected.iter().filter(|suite| suite.tls13().is_none());
        assert_eq!(selected.len() - old.clone().count(), 3, "{list}");
        let named = old.map(|suite| {
            let known = NAMES.iter().find(|(known, ..)| *known == suite.suite());
            known.unwrap().1
        });
        Ok(named.collect())
    }

    #[test]
    fn lists_select_in_their_order_and_leave_out_what_nobody_knows() {
        for (list, expected) in [
            (
                "ECDHE-RSA-AES128-GCM-SHA256:RC4-SHA:ECDHE-RSA-AES256-GCM-SHA384",
                &["ECDHE-RSA-AES128-GCM-SHA256", "ECDHE-RSA-AES256-GCM-SHA384"][..],
            ),
            (
                "CHACHA20+ECDSA,aRSA+AES256",
                &[
                    "ECDHE-ECDSA-CHACHA20-POLY1305",
                    "ECDHE-RSA-AES256-GCM-SHA384",
                ],
            ),
            (
                "HIGH:!AES:!aNULL:!MD5 @STRENGTH",
                &[
                    "ECDHE-ECDSA-CHACHA20-POLY1305",
                    "ECDHE-RSA-CHACHA20-POLY1305",
                ],
            ),
            (
                "AES128:-AES128:AES256:+ECDSA:AES128+aRSA",
                &[
                    "ECDHE-RSA-AES256-GCM-SHA384",
                    "ECDHE-ECDSA-AES256-GCM-SHA384",
                    "ECDHE-RSA-AES128-GCM-SHA256",
                ],
            ),
            (
                "!CHACHA20:CHACHA20:AES128+ECDSA",
                &["ECDHE-ECDSA-AES128-GCM-SHA256"],
            ),
        ] {
            assert_eq!(selected(list).unwrap(), expected, "{list}");
        }
        assert_eq!(selected("DEFAULT").unwrap().len(), NAMES.len());
    }

    #[test]
    fn a_list_that_allows_nothing_is_refused() {
        for list in ["", "RC4-SHA", "ALL:!AES:!CHACHA20", "aes"] {
            let error = selected(list).unwrap_err();
            assert!(error.contains("ECDHE-RSA-AES128-GCM-SHA256"), "{error}");
        }
    }
}

//! One address of `-l`: whether it is encrypted, its protocol, its tag, its host and its port.
//!
//! ```text
//! [notls: | btls: | mtls:] [proto[ascii|binary|negotiating]:] [tag[name]: | tag_name_:] host[:port] | [v6][:port] | *[:port]
//! ```

use super::Protocol;

/// An address to listen on, understood but not looked up.
#[derive(Clone, Debug, PartialEq, Eq)]
pub(crate) struct Listen {
    /// A name or an address; `None` for all of both families.
    pub(crate) host: Option<String>,
    /// `None` for the server's own.
    pub(crate) port: Option<u16>,
    /// `None` for the server's own.
    pub(crate) protocol: Option<Protocol>,
    pub(crate) tag: Option<Tag>,
    /// `None` for the server's own.
    pub(crate) tls: Option<ListenTls>,
}

/// What a listener says of TLS.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub(crate) enum ListenTls {
    /// `notls:`
    Plain,
    /// `btls:`, without certificates of clients.
    Basic,
    /// `mtls:`, with them.
    Mutual,
}

/// The name of a listener: 1 to 8 bytes.
#[derive(Clone, Debug, PartialEq, Eq)]
pub(crate) struct Tag(pub(crate) String);

/// The longest tag, in bytes.
const TAG_BYTES_MAX: usize = 8;

impl Listen {
    /// Understands one address; the error is a sentence that names it.
    pub(crate) fn parse(text: &str) -> Result<Self, String> {
        let wrong = |why: &str| format!("{text:?} {why}");
        let mut rest = text;
        let mut tls = None;
        for (prefix, meaning) in [
            ("notls:", ListenTls::Plain),
            ("btls:", ListenTls::Basic),
            ("mtls:", ListenTls::Mutual),
        ] {
            if let Some(behind) = rest.strip_prefix(prefix) {
                (tls, rest) = (Some(meaning), behind);
                break;
            }
        }
        let mut protocol = None;
        if let Some(behind) = rest.strip_prefix("proto[") {
            let (name, behind) = bracketed(behind, ']').ok_or_else(|| {
                wrong("has a protocol without an end: proto[ascii|binary|negotiating]:")
            })?;
            protocol = Some(match name {
                "ascii" => Protocol::Ascii,
                "binary" => Protocol::Binary,
                "negotiating" => Protocol::Auto,
                _ => return Err(wrong("names no protocol: ascii, binary or negotiating")),
            });
            rest = behind;
        }
        let mut tag = None;
        let tagged = [("tag[", ']'), ("tag_", '_')]
            .into_iter()
            .find_map(|(start, end)| rest.strip_prefix(start).map(|behind| (behind, end)));
        if let Some((behind, end)) = tagged {
            let (name, behind) =
                bracketed(behind, end).ok_or_else(|| wrong("has a tag without an end"))?;
            if !(1..=TAG_BYTES_MAX).contains(&name.len()) {
                return Err(wrong("has a tag that is not 1 to 8 characters long"));
            }
            tag = Some(Tag(name.to_owned()));
            rest = behind;
        }
        let (host, port) = host_and_port(rest).ok_or_else(|| wrong("is not an address"))?;
        let port = match port {
            None => None,
            Some(port) => Some(port.parse().map_err(|_| wrong("has no valid port"))?),
        };
        let host = (host != "*").then(|| host.to_owned());
        Ok(Self {
            host,
            port,
            protocol,
            tag,
            tls,
        })
    }
}

/// What stands before `end`, and what is behind it and a colon.
fn bracketed(text: &str, end: char) -> Option<(&str, &str)> {
    let (inside, behind) = text.split_once(end)?;
    Some((inside, behind.strip_prefix(':')?))
}

fn host_and_port(text: &str) -> Option<(&str, Option<&str>)> {
    if let Some(rest) = text.strip_prefix('[') {
        let (host, behind) = rest.split_once(']')?;
        return match behind {
            "" => Some((host, None)),
            _ => Some((host, Some(behind.strip_prefix(':')?))),
        };
    }
    match text.split_once(':') {
        None if text.is_empty() => None,
        None => Some((text, None)),
        // Several colons without brackets: a bare IPv6 address.
        Some((_, rest)) if rest.contains(':') => Some((text, None)),
        Some(("", _)) => None,
        Some((host, port)) => Some((host, Some(port))),
    }
}

#[cfg(test)]
mod tests {
    use super::*;

    fn parts(text: &str) -> (Option<String>, Option<u16>) {
        let listen = Listen::parse(text).unwrap();
        (listen.host, listen.port)
    }

    #[test]
    fn addresses_have_a_host_and_perhaps_a_port() {
        let host = |host: &str| Some(host.to_owned());
        assert_eq!(parts("127.0.0.1"), (host("127.0.0.1"), None));
        assert_eq!(parts("localhost:5"), (host("localhost"), Some(5)));
        assert_eq!(parts("::1"), (host("::1"), None));
        assert_eq!(parts("[::1]"), (host("::1"), None));
        assert_eq!(parts("[::1]:5"), (host("::1"), Some(5)));
        assert_eq!(parts("*"), (None, None));
        assert_eq!(parts("*:7"), (None, Some(7)));
    }

    #[test]
    fn a_listener_can_have_a_protocol_and_a_tag() {
        let listen = Listen::parse("proto[ascii]:tag[tools]:127.0.0.1:5").unwrap();
        assert_eq!(listen.protocol, Some(Protocol::Ascii));
        assert_eq!(listen.tag, Some(Tag("tools".to_owned())));
        assert_eq!(
            (listen.host.as_deref(), listen.port),
            (Some("127.0.0.1"), Some(5))
        );
        let listen = Listen::parse("tag_b_:[::1]:5").unwrap();
        assert_eq!(listen.tag, Some(Tag("b".to_owned())));
        assert_eq!(listen.protocol, None);
        let listen = Listen::parse("proto[binary]:*").unwrap();
        assert_eq!(listen.protocol, Some(Protocol::Binary));
    }

    #[test]
    fn a_listener_can_say_whether_it_speaks_tls() {
        for (text, tls) in [
            ("notls:127.0.0.1:5", Some(ListenTls::Plain)),
            ("btls:*", Some(ListenTls::Basic)),
            ("mtls:proto[ascii]:tag[a]:[::1]:5", Some(ListenTls::Mutual)),
            ("127.0.0.1", None),
        ] {
            assert_eq!(Listen::parse(text).unwrap().tls, tls, "{text}");
        }
    }

    #[test]
    fn what_is_no_address_is_named() {
        for wrong in [
            "",
            "host:",
            "host:x",
            "host:65536",
            ":5",
            "[::1",
            "[::1]5",
            "proto[ascii",
            "proto[http]:a",
            "proto[ascii]",
            "tag[]:a",
            "tag[123456789]:a",
            "tag[a",
            "mtls:",
            "tls:127.0.0.1",
        ] {
            let error = Listen::parse(wrong).unwrap_err();
            assert!(error.contains(wrong), "{wrong}: {error}");
        }
    }
}

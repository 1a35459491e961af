//! Packets of the binary protocol, as the tests build and read them.

use crate::exchange::Exchange;

/// A request to be sent.
#[derive(Clone, Copy, Default)]
pub(crate) struct Packet<'a> {
    pub(crate) opcode: u8,
    pub(crate) extras: &'a [u8],
    pub(crate) key: &'a str,
    pub(crate) value: &'a [u8],
    pub(crate) cas: u64,
}

/// A reply that came.
#[derive(Clone, Debug, PartialEq, Eq)]
pub(crate) struct Reply {
    pub(crate) opcode: u8,
    pub(crate) status: u16,
    pub(crate) extras: Vec<u8>,
    pub(crate) key: Vec<u8>,
    pub(crate) value: Vec<u8>,
    pub(crate) cas: u64,
}

const OPAQUE: [u8; 4] = *b"opaq";

impl Packet<'_> {
    pub(crate) fn bytes(&self) -> Vec<u8> {
        let body = self.extras.len() + self.key.len() + self.value.len();
        let mut bytes = vec![0x80, self.opcode];
        bytes.extend(u16::try_from(self.key.len()).unwrap().to_be_bytes());
        // The data type and the vbucket are nobody's concern.
        bytes.extend([u8::try_from(self.extras.len()).unwrap(), 7, 7, 7]);
        bytes.extend(u32::try_from(body).unwrap().to_be_bytes());
        bytes.extend(OPAQUE);
        bytes.extend(self.cas.to_be_bytes());
        [&bytes, self.extras, self.key.as_bytes(), self.value].concat()
    }
}

pub(crate) fn number(bytes: &[u8]) -> u64 {
    bytes
        .iter()
        .fold(0, |number, &byte| number << 8 | u64::from(byte))
}

/// Cuts an answer into packets.
pub(crate) fn replies(mut answer: &[u8]) -> Vec<Reply> {
    let mut replies = Vec::new();
    while !answer.is_empty() {
        assert!(answer[0] == 0x81 && answer[5] == 0 && answer[12..16] == OPAQUE);
        let length = |from: usize, to: usize| usize::try_from(number(&answer[from..to])).unwrap();
        let (key, extras, body) = (length(2, 4), length(4, 5), length(8, 12));
        let parts = &answer[24..24 + body];
        replies.push(Reply {
            opcode: answer[1],
            status: u16::try_from(length(6, 8)).unwrap(),
            extras: parts[..extras].to_vec(),
            key: parts[extras..extras + key].to_vec(),
            value: parts[extras + key..].to_vec(),
            cas: number(&answer[16..24]),
        });
        answer = &answer[24 + body..];
    }
    replies
}

/// What one packet is answered with.
pub(crate) fn all(exchange: &mut Exchange, packet: Packet<'_>) -> Vec<Reply> {
    exchange.send(&packet.bytes());
    replies(&exchange.answer().0)
}

pub(crate) fn one(exchange: &mut Exchange, packet: Packet<'_>) -> Reply {
    let mut replies = all(exchange, packet);
    assert_eq!(replies.len(), 1, "{replies:?}");
    replies.remove(0)
}

/// Status and text of a reply.
pub(crate) fn said(reply: &Reply) -> (u16, &str) {
    (reply.status, std::str::from_utf8(&reply.value).unwrap())
}

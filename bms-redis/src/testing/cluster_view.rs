//! What a node of a cluster knows of the others.

use std::ops::RangeInclusive;

/// A line of `CLUSTER NODES`, without what changes all the time.
#[derive(Clone, Debug, PartialEq, Eq)]
pub(super) struct Node {
    pub(super) id: String,
    /// The port of the cluster bus.
    pub(super) bus: u16,
    /// The shaking of hands is over.
    pub(super) is_known: bool,
    pub(super) is_primary: bool,
    /// Called down, by this node or by the cluster.
    pub(super) fails: bool,
    /// The id of the primary that a replica follows.
    pub(super) primary: Option<String>,
    pub(super) slots: Vec<RangeInclusive<u16>>,
}

impl Node {
    pub(super) fn owns(&self, slot: u16) -> bool {
        self.slots.iter().any(|range| range.contains(&slot))
    }
}

/// Reads the answer of `CLUSTER NODES`: a node a line, as
/// `id address:port@bus flags primary ping pong epoch link slot slot-slot [slot->-id]`.
pub(super) fn parse(answer: &str) -> Vec<Node> {
    answer.lines().filter_map(parse_line).collect()
}

fn parse_line(line: &str) -> Option<Node> {
    let mut words = line.split(' ');
    let id = words.next()?.to_owned();
    let bus = words.next()?.split('@').nth(1)?.split(',').next()?.parse().ok()?;
    let flags: Vec<_> = words.next()?.split(',').collect();
    let primary = words.next().filter(|word| *word != "-").map(str::to_owned);
    // Slots on the move stand in brackets; they still belong to the node that they leave.
    let slots = words.skip(4).filter_map(parse_range).collect();
    Some(Node {
        id,
        bus,
        is_known: !flags.contains(&"handshake"),
        is_primary: flags.contains(&"master"),
        fails: flags.iter().any(|flag| flag.starts_with("fail")),
        primary,
        slots,
    })
}

fn parse_range(word: &str) -> Option<RangeInclusive<u16>> {
    let (first, last) = word.split_once('-').unwrap_or((word, word));
    Some(first.parse().ok()?..=last.parse().ok()?)
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn lines_become_nodes() {
        let nodes = parse(
            "a1 127.0.0.1:13000@23000 myself,master - 0 1 1 connected 0-5460 7000 [7000->-b2]\n\
             b2 127.0.0.1:14000@23001,host master,fail? - 0 1 2 connected\n\
             c3 :0@23002 handshake - 0 1 0 disconnected\n\
             d4 127.0.0.1:13003@23003 slave a1 0 1 1 connected\n",
        );
        assert_eq!(nodes.iter().map(|node| node.bus).collect::<Vec<_>>(), [23_000, 23_001, 23_002, 23_003]);
        assert_eq!(nodes[0].slots, [0..=5_460, 7_000..=7_000]);
        assert!(nodes[0].owns(7_000) && !nodes[0].owns(5_461) && nodes[0].is_primary && nodes[0].primary.is_none());
        assert_eq!(nodes.iter().map(|node| node.fails).collect::<Vec<_>>(), [false, true, false, false]);
        assert_eq!(nodes.iter().map(|node| node.is_known).collect::<Vec<_>>(), [true, true, false, true]);
        assert_eq!(nodes[3].primary.as_deref(), Some("a1"));
    }
}

//! A world of nodes in virtual time: no sockets, no clocks, no threads, and the same course of events each time.
//!
//! Nodes are joined by links, which carry bytes with a delay and can be cut or tampered with. Time leaps from one event
//! to the next. Whatever happens at one instant happens in the order of the links and nodes, so a run can be repeated.

mod holder;
mod link;
mod node;

use std::time::Duration;

use proto::{Instant, Turn, UnixMillis};
use scenarios::dice::Seeded;

use self::link::{Link, Piece};
pub(crate) use self::link::{Shape, Tamper};
pub(crate) use self::node::{Node, Step, Trade};

/// The wall clock when a world begins.
pub(crate) const START: u64 = 1_600_000_000_000;

/// A node of a world.
#[derive(Debug, Clone, Copy, PartialEq, Eq, PartialOrd, Ord)]
pub(crate) struct NodeId(pub usize);

/// A link of a world.
#[derive(Debug, Clone, Copy, PartialEq, Eq, PartialOrd, Ord)]
pub(crate) struct LinkId(pub usize);

/// Nodes, links, and the time.
pub(crate) struct World {
    now: Duration,
    dice: Seeded,
    nodes: Vec<Node>,
    links: Vec<Link>,
}

impl World {
    pub(crate) fn new() -> Self {
        Self { now: Duration::ZERO, dice: Seeded::new(1), nodes: Vec::new(), links: Vec::new() }
    }

    /// Adds a node of this trade, its keys made of its number.
    pub(crate) fn add(&mut self, trade: Trade) -> NodeId {
        let id = NodeId(self.nodes.len());
        let node = Node::new(u8::try_from(id.0 + 1).unwrap(), trade, &lend(self.now, &mut self.dice));
        self.nodes.push(node);
        id
    }

    /// Lets one node dial another over a link of this shape.
    pub(crate) fn join(&mut self, dialler: NodeId, listener: NodeId, shape: Shape) -> LinkId {
        let id = LinkId(self.links.len());
        self.links.push(Link::new(dialler, listener, shape));
        self.connect(id);
        id
    }

    /// Opens a link that is closed.
    pub(crate) fn connect(&mut self, id: LinkId) {
        let link = &mut self.links[id.0];
        link.open();
        let (dialler, listener) = link.ends();
        let remote = self.nodes[listener.0].public();
        let mut turn = lend(self.now, &mut self.dice);
        self.nodes[listener.0].accept(id, &mut turn);
        self.nodes[dialler.0].dial(id, remote, &mut turn);
        self.carry();
    }

    /// The link breaks: what is under way is lost, and both ends learn of it.
    pub(crate) fn cut(&mut self, id: LinkId) {
        let (dialler, listener) = self.links[id.0].ends();
        self.links[id.0].close();
        for end in [dialler, listener] {
            self.nodes[end.0].eof(id, &mut lend(self.now, &mut self.dice));
        }
        self.carry();
    }

    /// Alters what the dialler of a link sends.
    pub(crate) fn tamper(&mut self, id: LinkId, how: Tamper) {
        self.links[id.0].tamper(how);
    }

    /// Has a person do something.
    pub(crate) fn act(&mut self, id: NodeId, input: chat::Input) {
        self.nodes[id.0].act(input, &mut lend(self.now, &mut self.dice));
        self.carry();
    }

    /// Has a person write in a chat.
    pub(crate) fn say(&mut self, id: NodeId, token: u64, chat: &chat::ChatName, text: &str) {
        self.act(
            id,
            chat::Input::Post {
                token: chat::Token(token),
                chat: chat.clone(),
                text: text.to_owned(),
                response_to: None,
            },
        );
    }

    /// Has a stranger's node say something in Waku, whether it may or not.
    pub(crate) fn mutter(&mut self, id: NodeId, link: LinkId, code: u64, payload: &[u8]) {
        self.nodes[id.0].mutter(link, code, payload, &mut lend(self.now, &mut self.dice));
        self.carry();
    }

    /// The process of a node dies. Its links break.
    pub(crate) fn crash(&mut self, id: NodeId) {
        self.nodes[id.0].die();
        for link in self.links_of(id) {
            self.cut(link);
        }
    }

    /// A dead node starts again from its disk, and its links are opened.
    pub(crate) fn restart(&mut self, id: NodeId) {
        self.nodes[id.0].boot(&lend(self.now, &mut self.dice));
        for link in self.links_of(id) {
            self.connect(link);
        }
        self.carry();
    }

    fn links_of(&self, id: NodeId) -> Vec<LinkId> {
        let has = |link: &Link| link.ends().0 == id || link.ends().1 == id;
        self.links.iter().enumerate().filter(|(_, link)| has(link)).map(|(at, _)| LinkId(at)).collect()
    }

    /// Lets time pass, with everything that happens in it.
    pub(crate) fn pass(&mut self, time: Duration) {
        let end = self.now + time;
        while let Some(next) = self.next_event().filter(|at| *at <= end) {
            self.now = self.now.max(next);
            self.deliver();
            self.tick();
        }
        self.now = end;
    }

    pub(crate) fn node(&self, id: NodeId) -> &Node {
        &self.nodes[id.0]
    }

    pub(crate) fn node_mut(&mut self, id: NodeId) -> &mut Node {
        &mut self.nodes[id.0]
    }

    pub(crate) fn is_open(&self, id: LinkId) -> bool {
        self.links[id.0].is_open()
    }

    pub(crate) fn unix_secs(&self) -> u64 {
        (START + u64::try_from(self.now.as_millis()).unwrap()) / 1000
    }

    fn next_event(&self) -> Option<Duration> {
        let links = self.links.iter().filter_map(Link::next_arrival);
        let nodes = self.nodes.iter().filter_map(Node::wake_at).map(Instant::since_start);
        links.chain(nodes).min()
    }

    /// Hands over what has arrived.
    fn deliver(&mut self) {
        for at in 0..self.links.len() {
            while let Some((to, piece)) = self.links[at].arrived(self.now) {
                let turn = &mut lend(self.now, &mut self.dice);
                match piece {
                    Piece::Bytes(bytes) => self.nodes[to.0].bytes(LinkId(at), &bytes, turn),
                    Piece::End => self.nodes[to.0].eof(LinkId(at), turn),
                }
                self.carry();
            }
        }
    }

    fn tick(&mut self) {
        let now = Instant::from_start(self.now);
        for at in 0..self.nodes.len() {
            if self.nodes[at].wake_at().is_some_and(|due| due <= now) {
                self.nodes[at].tick(&mut lend(self.now, &mut self.dice));
            }
        }
        self.carry();
    }

    /// Puts what nodes have written onto the links, until no node has anything to say. A node whose fuse blew is dead.
    fn carry(&mut self) {
        for at in 0..self.nodes.len() {
            for step in self.nodes[at].steps() {
                match step {
                    Step::Write(link, bytes) => self.links[link.0].send(NodeId(at), self.now, &bytes),
                    Step::Close(link) => self.links[link.0].hang_up(NodeId(at), self.now),
                }
            }
            if self.nodes[at].has_blown() {
                self.crash(NodeId(at));
            }
        }
    }
}

fn lend(now: Duration, dice: &mut Seeded) -> Turn<'_> {
    let unix = UnixMillis::new(START + u64::try_from(now.as_millis()).unwrap());
    Turn { now: Instant::from_start(now), unix, rng: dice }
}

//! MODE strings to changes and back, driven by a table of the modes there are.

/// What a mode's parameter is (ISUPPORT CHANMODES A to D, and PREFIX).
#[derive(Debug, Clone, Copy, PartialEq, Eq)]
pub enum ModeKind {
    /// A: a list; a parameter each way, none asks for the list.
    List,
    /// B: a parameter each way.
    Always,
    /// C: a parameter when set.
    OnSet,
    /// D: no parameter.
    Flag,
    /// PREFIX: a member's rank; the parameter is a nick.
    Prefix,
}

/// The modes of a channel or of a user.
#[derive(Debug, Clone, Copy, PartialEq, Eq)]
pub struct ModeTable {
    /// Letters and symbols of ranks, highest first, e.g. `[('o', '@'), ('v', '+')]`.
    pub prefixes: &'static [(char, char)],
    /// A.
    pub lists: &'static str,
    /// B.
    pub always: &'static str,
    /// C.
    pub on_set: &'static str,
    /// D.
    pub flags: &'static str,
}

/// One mode set or taken.
#[derive(Debug, Clone, PartialEq, Eq)]
pub struct ModeChange {
    /// `+` or `-`.
    pub set: bool,
    /// The letter.
    pub mode: char,
    /// Its kind in the table.
    pub kind: ModeKind,
    /// The parameter. `None` for a [`ModeKind::List`] asks for the list.
    pub arg: Option<String>,
}

/// What was understood of a MODE command, and what was odd.
#[derive(Debug, Clone, Default, PartialEq, Eq)]
pub struct Modes {
    /// In the order given.
    pub changes: Vec<ModeChange>,
    /// Letters not in the table (472 or 501), each once.
    pub unknown: Vec<char>,
    /// Letters whose parameter is missing (696), each once.
    pub missing: Vec<char>,
}

/// Changes read from one MODE command; the rest of it is passed over.
const MAX_CHANGES: usize = 128;

impl ModeTable {
    /// The kind of a letter.
    pub fn kind(&self, mode: char) -> Option<ModeKind> {
        if self.prefixes.iter().any(|(letter, _)| *letter == mode) {
            return Some(ModeKind::Prefix);
        }
        [
            (self.lists, ModeKind::List),
            (self.always, ModeKind::Always),
            (self.on_set, ModeKind::OnSet),
            (self.flags, ModeKind::Flag),
        ]
        .into_iter()
        .find_map(|(letters, kind)| letters.contains(mode).then_some(kind))
    }

    /// The value of ISUPPORT CHANMODES.
    pub fn chanmodes(&self) -> String {
        format!(
            "{},{},{},{}",
            self.lists, self.always, self.on_set, self.flags
        )
    }

    /// The value of ISUPPORT PREFIX.
    pub fn prefix(&self) -> String {
        let letters: String = self.prefixes.iter().map(|p| p.0).collect();
        let symbols: String = self.prefixes.iter().map(|p| p.1).collect();
        format!("({letters}){symbols}")
    }

    /// All letters, sorted, for 004 RPL_MYINFO; with `only_args` those that take a parameter.
    pub fn letters(&self, only_args: bool) -> String {
        let flags = if only_args { "" } else { self.flags };
        let ranks = self.prefixes.iter().map(|p| p.0);
        let rest = [self.lists, self.always, self.on_set, flags]
            .map(str::chars)
            .into_iter()
            .flatten();
        let mut all: Vec<char> = ranks.chain(rest).collect();
        all.sort_unstable();
        all.into_iter().collect()
    }

    /// Reads `modes` (`+ov-b`) and its parameters. Without a sign, modes are set.
    pub fn parse<'a>(&self, modes: &str, args: impl IntoIterator<Item = &'a str>) -> Modes {
        let mut args = args.into_iter();
        let mut out = Modes::default();
        let mut set = true;
        for mode in modes.chars() {
            match mode {
                '+' => set = true,
                '-' => set = false,
                _ if out.changes.len() >= MAX_CHANGES => break,
                _ => self.read(mode, set, &mut args, &mut out),
            }
        }
        out
    }

    fn read<'a>(
        &self,
        mode: char,
        set: bool,
        args: &mut impl Iterator<Item = &'a str>,
        out: &mut Modes,
    ) {
        let Some(kind) = self.kind(mode) else {
            if !out.unknown.contains(&mode) && out.unknown.len() < MAX_CHANGES {
                out.unknown.push(mode);
            }
            return;
        };
        let arg = match kind {
            ModeKind::Flag => None,
            ModeKind::OnSet if !set => None,
            _ => args.next().filter(|arg| !arg.is_empty()).map(str::to_owned),
        };
        // `-k` alone is what clients send to remove a key they do not know: B without parameter
        // is understood when taken. Liberty: RFC 2812 wants the key, no client does it right.
        let needed = match kind {
            ModeKind::Prefix => true,
            ModeKind::Always | ModeKind::OnSet => set,
            ModeKind::List | ModeKind::Flag => false,
        };
        if needed && arg.is_none() {
            if !out.missing.contains(&mode) {
                out.missing.push(mode);
            }
            return;
        }
        let change = ModeChange {
            set,
            mode,
            kind,
            arg,
        };
        // A list asked for twice is answered once.
        if !(kind == ModeKind::List && change.arg.is_none() && out.changes.contains(&change)) {
            out.changes.push(change);
        }
    }
}

/// Groups changes into MODE commands: `(modes, parameters)` each with at most `max_args`
/// parameters (ISUPPORT MODES) and at most `room` bytes, spaces included.
pub fn render<'a>(
    changes: &'a [ModeChange],
    max_args: usize,
    room: usize,
) -> Vec<(String, Vec<&'a str>)> {
    let mut out: Vec<(String, Vec<&'a str>)> = Vec::new();
    let (mut sign, mut used) = (None, 0);
    for change in changes {
        let arg = change.arg.as_deref();
        let arg_cost = arg.map_or(0, |arg| arg.len() + 1);
        let full = out.last().is_none_or(|(_, args)| {
            let cost = change.mode.len_utf8() + usize::from(sign != Some(change.set)) + arg_cost;
            used + cost > room || (arg.is_some() && args.len() >= max_args.max(1))
        });
        if full {
            out.push((String::new(), Vec::new()));
            (sign, used) = (None, 0);
        }
        let Some((modes, args)) = out.last_mut() else {
            continue;
        };
        if sign != Some(change.set) {
            modes.push(if change.set { '+' } else { '-' });
            sign = Some(change.set);
            used += 1;
        }
        modes.push(change.mode);
        args.extend(arg);
        used += change.mode.len_utf8() + arg_cost;
    }
    out
}

#[cfg(test)]
mod tests {
    use super::*;

    const TABLE: ModeTable = ModeTable {
        prefixes: &[('o', '@'), ('v', '+')],
        lists: "beI",
        always: "k",
        on_set: "l",
        flags: "imnpst",
    };

    fn change(set: bool, mode: char, arg: Option<&str>) -> ModeChange {
        ModeChange {
            set,
            mode,
            kind: TABLE.kind(mode).unwrap(),
            arg: arg.map(str::to_owned),
        }
    }

    #[test]
    fn a_mode_string_is_read() {
        let modes = TABLE.parse("+o-v+lk-lk+im", ["bob", "eve", "5", "key", "key"]);
        assert_eq!(
            modes.changes,
            [
                change(true, 'o', Some("bob")),
                change(false, 'v', Some("eve")),
                change(true, 'l', Some("5")),
                change(true, 'k', Some("key")),
                change(false, 'l', None),
                change(false, 'k', Some("key")),
                change(true, 'i', None),
                change(true, 'm', None),
            ]
        );
        assert!(modes.unknown.is_empty() && modes.missing.is_empty());
    }

    #[test]
    fn odd_mode_strings() {
        let modes = TABLE.parse("xbZé+x+o-k", []);
        assert_eq!(modes.unknown, ['x', 'Z', 'é']);
        assert_eq!(modes.missing, ['o']);
        assert_eq!(
            modes.changes,
            [change(true, 'b', None), change(false, 'k', None)]
        );
        assert_eq!(TABLE.parse("bbb", []).changes.len(), 1);
        assert_eq!(
            TABLE.parse(&"+i".repeat(500), []).changes.len(),
            MAX_CHANGES
        );
        assert_eq!(TABLE.parse("+-+", []), Modes::default());
    }

    #[test]
    fn changes_are_grouped_within_limits() {
        let changes = [
            change(true, 'o', Some("bob")),
            change(true, 'v', Some("eve")),
            change(false, 'b', Some("*!*@h")),
            change(false, 'm', None),
        ];
        assert_eq!(
            render(&changes, 4, 400),
            [("+ov-bm".to_owned(), vec!["bob", "eve", "*!*@h"])]
        );
        assert_eq!(
            render(&changes, 2, 400),
            [
                ("+ov".to_owned(), vec!["bob", "eve"]),
                ("-bm".to_owned(), vec!["*!*@h"])
            ]
        );
        assert_eq!(render(&changes, 4, 10).len(), 3);
        assert!(render(&[], 4, 400).is_empty());
    }

    #[test]
    fn the_table_describes_itself() {
        assert_eq!(TABLE.chanmodes(), "beI,k,l,imnpst");
        assert_eq!(TABLE.prefix(), "(ov)@+");
        assert_eq!(TABLE.letters(false), "Ibeiklmnopstv");
        assert_eq!(TABLE.letters(true), "Ibeklov");
    }
}

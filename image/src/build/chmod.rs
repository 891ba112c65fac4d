//! `--chmod`: octal, or symbolic as chmod(1) has it. Pure.

/// Changes of a mode.
#[derive(Clone, Debug, PartialEq, Eq)]
pub enum Chmod {
    /// This mode whatever it was.
    Octal(u32),
    /// Changes in order.
    Symbolic(Vec<Clause>),
}

/// `ug+rX`.
#[derive(Clone, Debug, PartialEq, Eq)]
pub struct Clause {
    /// Which bits may change: of users, groups, others.
    who: u32,
    operator: char,
    permissions: String,
}

impl Chmod {
    /// Reads a mode.
    ///
    /// # Errors
    /// What is expected.
    pub fn parse(text: &str) -> Result<Chmod, String> {
        let invalid =
            || format!("invalid chmod parameter: {text:?}: it must be octal, such as 755, or symbolic, such as u+x");
        if !text.is_empty() && text.bytes().all(|b| (b'0'..=b'7').contains(&b)) {
            let mode = u32::from_str_radix(text, 8).map_err(|_| invalid())?;
            return if mode <= 0o7777 { Ok(Chmod::Octal(mode)) } else { Err(invalid()) };
        }
        let mut clauses = Vec::new();
        for clause in text.split(',') {
            clauses.extend(clauses_of(clause).ok_or_else(invalid)?);
        }
        Ok(Chmod::Symbolic(clauses))
    }

    /// The mode that follows from `mode`.
    pub fn apply(&self, mode: u32, is_dir: bool) -> u32 {
        match self {
            Chmod::Octal(mode) => *mode,
            Chmod::Symbolic(clauses) => clauses.iter().fold(mode, |mode, clause| clause.apply(mode, is_dir)),
        }
    }
}

fn clauses_of(text: &str) -> Option<Vec<Clause>> {
    let end = text.find(['+', '-', '='])?;
    let mut who = 0;
    for c in text[..end].chars() {
        who |= match c {
            'u' => 0o4700,
            'g' => 0o2070,
            'o' => 0o1007,
            'a' => 0o7777,
            _ => return None,
        };
    }
    let who = if end == 0 { 0o7777 } else { who };
    let mut clauses = Vec::new();
    let mut rest = &text[end..];
    while let Some(operator) = rest.chars().next() {
        rest = &rest[1..];
        let length = rest.find(['+', '-', '=']).unwrap_or(rest.len());
        let permissions = rest[..length].to_owned();
        if !permissions.chars().all(|c| "rwxXstugo".contains(c)) {
            return None;
        }
        clauses.push(Clause { who, operator, permissions });
        rest = &rest[length..];
    }
    Some(clauses)
}

impl Clause {
    fn apply(&self, mode: u32, is_dir: bool) -> u32 {
        let thrice = |bits: u32| bits * 0o111;
        let mut bits = 0;
        for c in self.permissions.chars() {
            bits |= match c {
                'r' => 0o444,
                'w' => 0o222,
                'x' => 0o111,
                'X' if is_dir || mode & 0o111 != 0 => 0o111,
                's' => 0o6000,
                't' => 0o1000,
                'u' => thrice(mode >> 6 & 7),
                'g' => thrice(mode >> 3 & 7),
                'o' => thrice(mode & 7),
                _ => 0,
            };
        }
        let bits = bits & self.who;
        match self.operator {
            '+' => mode | bits,
            '-' => mode & !bits,
            _ => mode & !(self.who & 0o6777) | bits,
        }
    }
}

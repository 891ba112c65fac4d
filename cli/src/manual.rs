//! Completions for shells, and manual pages.

use std::path::Path;

use clap_complete::Shell;

use crate::commands;
use crate::error::{Error, Result};
use crate::output::format;

/// Writes a shell's completion to standard output.
pub fn completion(shell: Shell) -> Result<()> {
    let mut script = Vec::new();
    clap_complete::generate(shell, &mut commands::plain(), "orca", &mut script);
    format::write(&String::from_utf8_lossy(&script))
}

/// Writes a page for every command.
pub fn pages(directory: &Path) -> Result<()> {
    let error = |source| Error::File { action: "write manual pages into", path: directory.into(), source };
    std::fs::create_dir_all(directory).map_err(error)?;
    clap_mangen::generate_to(commands::plain(), directory).map_err(error)
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn every_shell_gets_a_script_and_every_command_a_page() {
        for shell in [Shell::Bash, Shell::Zsh, Shell::Fish, Shell::PowerShell] {
            let mut script = Vec::new();
            clap_complete::generate(shell, &mut commands::plain(), "orca", &mut script);
            assert!(String::from_utf8(script).unwrap().contains("volume"), "{shell}");
        }
        let dir = tempfile::tempdir().unwrap();
        pages(dir.path()).unwrap();
        let page = std::fs::read_to_string(dir.path().join("orca-volume-ls.1")).unwrap();
        assert!(page.contains("List volumes"), "{page}");
    }
}

//! `kctl completion`: a script that makes a shell complete commands and flags.

use clap::{Args, CommandFactory, ValueEnum};

use crate::Cli;

#[derive(Args, Debug)]
pub struct Completion {
    /// bash, zsh, fish or powershell
    shell: Shell,
}

#[derive(Clone, Copy, Debug, ValueEnum)]
enum Shell {
    Bash,
    Zsh,
    Fish,
    Powershell,
}

impl Completion {
    pub fn run(self) -> anyhow::Result<()> {
        let shell = match self.shell {
            Shell::Bash => clap_complete::Shell::Bash,
            Shell::Zsh => clap_complete::Shell::Zsh,
            Shell::Fish => clap_complete::Shell::Fish,
            Shell::Powershell => clap_complete::Shell::PowerShell,
        };
        clap_complete::generate(shell, &mut Cli::command(), "kctl", &mut std::io::stdout());
        Ok(())
    }
}

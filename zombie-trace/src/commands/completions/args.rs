use clap::Args;
use clap_complete::Shell;

const COMPLETIONS_HELP: &str = "\
Examples:
  source <(zombie-trace completions bash)
  zombie-trace completions bash \\
      >/etc/bash_completion.d/zombie-trace
  zombie-trace completions zsh \\
      >/usr/local/share/zsh/site-functions/_zombie-trace
  zombie-trace completions fish \\
      >~/.config/fish/completions/zombie-trace.fish

Exit status:
  0  the script is written
  1  standard output cannot be written
  2  invalid command line";

/// Options of `completions`.
#[derive(Clone, Debug, PartialEq, Eq, Args)]
#[command(max_term_width = 80, after_help = COMPLETIONS_HELP)]
pub struct CompletionsArgs {
    /// The shell that the script is for
    #[arg(value_name = "SHELL")]
    pub shell: Shell,
}

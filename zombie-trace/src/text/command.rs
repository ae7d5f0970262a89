use super::escape::{cut, escape};

/// A command line in at most so many columns, escaped, the program without its directory:
/// `python3 /opt/supervisor.py`.
pub(crate) fn command(cmdline: &str, columns: usize) -> String {
    let (program, arguments) = match cmdline.split_once(' ') {
        Some((program, arguments)) => (program, Some(arguments)),
        None => (cmdline, None),
    };
    let name = program.rsplit('/').next().filter(|name| !name.is_empty());
    let mut text = name.unwrap_or(program).to_owned();
    if let Some(arguments) = arguments {
        text.push(' ');
        text.push_str(arguments);
    }
    cut(&escape(&text), columns).into_owned()
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn a_program_loses_its_directory() {
        for (cmdline, shown) in [
            (
                "/usr/bin/python3 /opt/supervisor.py",
                "python3 /opt/supervisor.py",
            ),
            ("nginx: worker process", "nginx: worker process"),
            ("/sbin/init", "init"),
            ("/", "/"),
            ("sh \x1b[2J", r"sh \x1b[2J"),
        ] {
            assert_eq!(command(cmdline, 40), shown);
        }
        assert_eq!(command("/bin/sleep 1000", 8), "sleep 1…");
    }
}

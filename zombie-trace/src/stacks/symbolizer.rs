//! The process for symbols: reads the symbols and the debug information of one module. Whoever made the
//! module could have put anything into it, so this process has no privileges, and can open no other file.

use std::{
    env,
    fs::File,
    io::{self, BufReader, BufWriter, Read as _, Write as _},
    mem::ManuallyDrop,
    os::{fd::FromRawFd as _, unix::fs::MetadataExt as _},
};

use anyhow::Context as _;
use blazesym::symbolize::{
    Input, Symbolized, Symbolizer,
    source::{Elf, Source},
};
use caps::CapSet;
use landlock::{
    ABI, Access as _, AccessFs, AccessNet, PathBeneath, Ruleset, RulesetAttr as _,
    RulesetCreatedAttr as _, RulesetError, Scope,
};
use nix::{
    sys::{
        prctl,
        resource::{Resource, setrlimit},
        signal::Signal,
    },
    unistd::{Gid, Uid, geteuid, setgroups, setresgid, setresuid},
};

use super::{
    module::go_table_of,
    perf_map,
    symbol::{Answer, MODULE, NAME, Symbol, SymbolQuestion},
};
use crate::exit_code::ExitCode;

/// Becomes the process for symbols if the program was started as that. Gives its exit status.
pub(crate) fn main() -> Option<ExitCode> {
    if env::args_os().next()? != *NAME {
        return None;
    }
    Some(match answer() {
        Ok(()) => ExitCode::Success,
        Err(_) => ExitCode::Error,
    })
}

/// Reads addresses from standard input, and writes a line about each to standard output.
fn answer() -> anyhow::Result<()> {
    // SAFETY: whoever started us has opened it, and nobody else in this process uses it.
    let module = ManuallyDrop::new(unsafe { File::from_raw_fd(MODULE) });
    confine(&module)?;
    let mut request = String::new();
    io::stdin().read_to_string(&mut request)?;
    let question: SymbolQuestion = serde_json::from_str(&request)?;
    let mut out = BufWriter::new(io::stdout().lock());
    let mut write = |answer: &Answer| -> anyhow::Result<()> {
        serde_json::to_writer(&mut out, answer)?;
        writeln!(out)?;
        // What was found so far is of use even if the next address is the end of us.
        Ok(out.flush()?)
    };
    if question.is_perf_map {
        let found = perf_map::find(BufReader::new(&*module), &question.addresses);
        return found.into_iter().try_for_each(|(address, symbol)| {
            let symbols = vec![symbol];
            write(&Answer { address, symbols })
        });
    }
    let symbolizer = Symbolizer::new();
    let path = format!("/proc/self/fd/{MODULE}");
    let go = go_table_of(&module);
    for address in question.addresses {
        let mut symbols = symbols(&symbolizer, &path, address);
        // A stripped Go program still has this.
        if symbols.iter().all(|symbol| symbol.line.is_none())
            && let Some(go) = &go
            && let found = go.symbols(address)
            && !found.is_empty()
        {
            symbols = found;
        }
        write(&Answer { address, symbols })?;
    }
    Ok(())
}

/// Gives up what it takes to do harm: first of all privileges, then files, then resources.
fn confine(module: &File) -> anyhow::Result<()> {
    prctl::set_pdeathsig(Signal::SIGKILL)?;
    prctl::set_no_new_privs()?;
    if geteuid().is_root() {
        let metadata = module.metadata()?;
        // The file is open, but its symbols are read by its name in /proc, which is a new opening.
        let for_all = metadata.mode() & 0o004 != 0;
        const NOBODY: u32 = 65_534;
        let (uid, gid) = match for_all {
            true => (NOBODY, NOBODY),
            false => (metadata.uid(), metadata.gid()),
        };
        let (uid, gid) = (Uid::from_raw(uid), Gid::from_raw(gid));
        setgroups(&[]).context("setgroups")?;
        setresgid(gid, gid, gid).context("setresgid")?;
        setresuid(uid, uid, uid).context("setresuid")?;
    }
    for set in [
        CapSet::Ambient,
        CapSet::Inheritable,
        CapSet::Effective,
        CapSet::Permitted,
    ] {
        caps::clear(None, set)?;
    }
    // A kernel without it leaves the permissions of nobody.
    let _ = restrict_files(module);
    limit()
}

fn restrict_files(module: &File) -> Result<(), RulesetError> {
    let abi = ABI::V6;
    let ruleset = || -> Result<_, RulesetError> {
        Ruleset::default()
            .handle_access(AccessFs::from_all(abi))?
            .handle_access(AccessNet::from_all(abi))?
            .scope(Scope::from_all(abi))?
            .create()
    };
    // A file in memory has no place to make a rule for, and needs none.
    let with_module = ruleset()?.add_rule(PathBeneath::new(module, AccessFs::ReadFile));
    with_module.or_else(|_| ruleset())?.restrict_self()?;
    Ok(())
}

fn limit() -> anyhow::Result<()> {
    const CPU_SECONDS: u64 = 10;
    const MEMORY: u64 = 4 << 30;
    const ANSWER: u64 = 64 << 20;
    const FILES: u64 = 16;
    for (resource, limit) in [
        (Resource::RLIMIT_CPU, CPU_SECONDS),
        (Resource::RLIMIT_AS, MEMORY),
        (Resource::RLIMIT_FSIZE, ANSWER),
        (Resource::RLIMIT_NOFILE, FILES),
        (Resource::RLIMIT_CORE, 0),
    ] {
        setrlimit(resource, limit, limit)?;
    }
    Ok(())
}

/// Innermost first; none if the module does not say.
fn symbols(symbolizer: &Symbolizer, path: &str, address: u64) -> Vec<Symbol> {
    let find = |debug_syms| {
        let mut elf = Elf::new(path);
        elf.debug_syms = debug_syms;
        symbolizer.symbolize_single(&Source::Elf(elf), Input::VirtOffset(address))
    };
    // Malformed debug information hides no symbol.
    let found = find(true).or_else(|_| find(false));
    let Ok(Symbolized::Sym(symbol)) = found else {
        return Vec::new();
    };
    let place = |info: Option<&blazesym::symbolize::CodeInfo<'_>>| {
        let file = info.map(|info| info.to_path().to_string_lossy().into_owned());
        (file, info.and_then(|info| info.line))
    };
    let inlined = symbol.inlined.iter().rev().map(|inlined| {
        let (file, line) = place(inlined.code_info.as_ref());
        Symbol {
            function: inlined.name.clone().into_owned(),
            file,
            line,
            inlined: true,
        }
    });
    let (file, line) = place(symbol.code_info.as_deref());
    let outer = Symbol {
        function: symbol.name.into_owned(),
        file,
        line,
        inlined: false,
    };
    inlined.chain([outer]).collect()
}

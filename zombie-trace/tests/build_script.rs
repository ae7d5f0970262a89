//! Which targets the build script refuses.

#[expect(dead_code, reason = "its main is for cargo")]
#[path = "../build.rs"]
mod build_script;

use build_script::refusal;

#[test]
fn x86_64_linux_is_supported() {
    assert_eq!(refusal("linux", "x86_64", "64"), None);
}

#[test]
fn everything_else_is_refused_by_name() {
    for (arch, width) in [
        ("aarch64", "64"),
        ("x86", "32"),
        ("x86_64", "32"),
        ("riscv64", "64"),
    ] {
        let reason = refusal("linux", arch, width).unwrap();
        assert!(reason.contains("supports x86-64 only"), "{reason}");
        assert!(reason.contains(&format!("not {arch} ")), "{reason}");
    }
    let reason = refusal("macos", "x86_64", "64").unwrap();
    assert!(reason.contains("Linux only, not on macos"), "{reason}");
}

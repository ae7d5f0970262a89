//! Which targets the build script refuses.

#[expect(dead_code, reason = "its main is for cargo")]
#[path = "../build.rs"]
mod build_script;

use build_script::refusal;

#[test]
fn linux_on_x86_64_and_arm64_is_supported() {
    for arch in ["x86_64", "aarch64"] {
        assert_eq!(refusal("linux", arch, "64", "little"), None);
    }
}

#[test]
fn everything_else_is_refused_by_name() {
    for (arch, width, endian) in [
        ("aarch64", "64", "big"),
        ("aarch64", "32", "little"),
        ("arm", "32", "little"),
        ("x86", "32", "little"),
        ("x86_64", "32", "little"),
        ("riscv64", "64", "little"),
    ] {
        let reason = refusal("linux", arch, width, endian).unwrap();
        assert!(reason.contains("x86-64 and arm64 only"), "{reason}");
        let named = format!("not {arch} with {width}-bit pointers and {endian}-endian");
        assert!(reason.contains(&named), "{reason}");
    }
    let reason = refusal("macos", "x86_64", "64", "little").unwrap();
    assert!(reason.contains("Linux only, not on macos"), "{reason}");
}

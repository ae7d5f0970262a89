"""What gdb knows about the frames of all threads, one per line: thread, address, kind, function."""

import gdb

KINDS = {gdb.INLINE_FRAME: "inline", gdb.SIGTRAMP_FRAME: "signal"}

for setting in ("past-main", "past-entry"):
    gdb.execute(f"set backtrace {setting} on")
for thread in gdb.selected_inferior().threads():
    thread.switch()
    frame = gdb.newest_frame()
    while frame is not None:
        kind = KINDS.get(frame.type(), "normal")
        # A function that has left by a jump to another has no frame: gdb concludes that it was there.
        if frame.type() != gdb.TAILCALL_FRAME:
            print("frame", thread.ptid[1], frame.pc(), kind, frame.name())
        frame = frame.older()

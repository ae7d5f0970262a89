// A supervisor that leaves a zombie, and spends its time in three places. It prints how long, in ns, and how
// much of the last is CPU time.
package main

import (
	"fmt"
	"os"
	"os/exec"
	"runtime"
	"strconv"
	"syscall"
	"time"
	"unsafe"
)

var (
	spent [3]time.Duration
	jobs  int64
	lock  uint32 = 1
	sink  float64
)

//go:noinline
func writeJournal(pause time.Duration) {
	limit := syscall.NsecToTimespec(int64(pause))
	syscall.Nanosleep(&limit, nil) // WRITES
	sink++
}

//go:noinline
func takeLock(pause time.Duration) {
	limit := syscall.NsecToTimespec(int64(pause))
	at, until := uintptr(unsafe.Pointer(&lock)), uintptr(unsafe.Pointer(&limit))
	syscall.Syscall6(syscall.SYS_FUTEX, at, 0, 1, until, 0, 0) // LOCKS
	sink++
}

// CPU time, so that the share is the same on a busy machine.
//
//go:noinline
func compute(pause time.Duration) {
	end := cpuTime() + int64(pause)
	for cpuTime() < end {
		for i := 0; i < 20000; i++ {
			sink += float64(i)
		}
	}
	sink++
}

func cpuTime() int64 {
	const clockThreadCPUTime = 3
	var time syscall.Timespec
	syscall.RawSyscall(syscall.SYS_CLOCK_GETTIME, clockThreadCPUTime, uintptr(unsafe.Pointer(&time)), 0)
	return time.Nano()
}

//go:noinline
func runJob() {
	start := time.Now()
	writeJournal(17 * time.Millisecond)
	written := time.Now()
	takeLock(11 * time.Millisecond)
	locked := time.Now()
	compute(7 * time.Millisecond)
	spent[0] += written.Sub(start)
	spent[1] += locked.Sub(written)
	spent[2] += time.Since(locked)
	jobs++
}

//go:noinline
func supervise(run time.Duration) {
	if err := exec.Command("/bin/true").Start(); err != nil {
		panic(err)
	}
	for end := time.Now().Add(run); time.Now().Before(end); {
		runJob()
	}
}

func main() {
	seconds, _ := strconv.ParseFloat(os.Args[2], 64)
	run := time.Duration(seconds * float64(time.Second))
	switch os.Args[1] {
	case "locked":
		runtime.LockOSThread()
		supervise(run)
	case "plain":
		supervise(run)
	case "goroutine":
		done := make(chan bool)
		go func() {
			runtime.LockOSThread()
			supervise(run)
			close(done)
		}()
		<-done
	}
	fmt.Println("spent", int64(spent[0]), int64(spent[1]), int64(spent[2]), jobs*int64(7*time.Millisecond))
}

package main

import (
	"bytes"
	"errors"
	"fmt"
	"os"
	"os/exec"
	"runtime/debug"
	"strings"
	"syscall"
	"time"
)

// sample is one measurement.
type sample struct {
	Wall, CPU   time.Duration
	Stored      int64 // bytes by which the backups grew
	Memory      int64 // bytes above what was needed before
	Requests    int64
	Synced      string // by whom; "": the tool
	Unsupported bool   // the tool cannot do it
}

// meter measures from the moment it is started.
type meter struct {
	begun    time.Time
	cpu      time.Duration
	resident int64
	programs int64 // the most that one program needed
}

// startMeter begins to measure. What the process used at most until now is forgotten.
func startMeter() (*meter, error) {
	debug.FreeOSMemory()
	const forgetPeak = "5"
	if err := os.WriteFile("/proc/self/clear_refs", []byte(forgetPeak), 0); err != nil {
		return nil, fmt.Errorf("measure memory: %w", err)
	}
	resident, err := statusOf(os.Getpid(), "VmRSS")
	if err != nil {
		return nil, err
	}
	cpu, err := cpuTime()
	return &meter{begun: time.Now(), cpu: cpu, resident: resident}, err
}

// stop is what was needed since.
func (m *meter) stop() (s sample, err error) {
	s.Wall = time.Since(m.begun)
	cpu, err := cpuTime()
	if err != nil {
		return s, err
	}
	peak, err := statusOf(os.Getpid(), "VmHWM")
	s.CPU, s.Memory = cpu-m.cpu, max(0, peak-m.resident)+m.programs
	return s, err
}

// run runs a program and watches its memory. What getrusage has of a child counts, as its
// peak, that of the parent from which it was forked, so the kernel is asked meanwhile.
func (m *meter) run(cmd *exec.Cmd) error {
	var out bytes.Buffer
	if cmd.Stdout == nil {
		cmd.Stdout = &out
	}
	cmd.Stderr = &out
	if err := cmd.Start(); err != nil {
		return err
	}
	ended := make(chan error, 1)
	go func() { ended <- cmd.Wait() }()
	const interval = 2 * time.Millisecond
	ticker := time.NewTicker(interval)
	defer ticker.Stop()
	for {
		select {
		case err := <-ended:
			if err != nil {
				return fmt.Errorf("%s: %w: %s", strings.Join(cmd.Args, " "), err, lastLine(out.Bytes()))
			}
			return nil
		case <-ticker.C:
			if peak, err := statusOf(cmd.Process.Pid, "VmHWM"); err == nil { // else it has just ended
				m.programs = max(m.programs, peak)
			}
		}
	}
}

// runQuiet runs a program that is not measured.
func runQuiet(cmd *exec.Cmd) error { return new(meter).run(cmd) }

func lastLine(out []byte) []byte {
	out = bytes.TrimSpace(out)
	return out[bytes.LastIndexByte(out, '\n')+1:]
}

// cpuTime is what this process and the programs that it ran have used.
func cpuTime() (d time.Duration, err error) {
	for _, who := range []int{syscall.RUSAGE_SELF, syscall.RUSAGE_CHILDREN} {
		var u syscall.Rusage
		err = errors.Join(err, syscall.Getrusage(who, &u))
		d += time.Duration(u.Utime.Nano() + u.Stime.Nano())
	}
	return d, err
}

// statusOf is a line of /proc/pid/status that counts bytes.
func statusOf(pid int, name string) (int64, error) {
	status, err := os.ReadFile(fmt.Sprintf("/proc/%d/status", pid))
	if err != nil {
		return 0, err
	}
	for line := range strings.Lines(string(status)) {
		rest, ok := strings.CutPrefix(line, name+":")
		if !ok {
			continue
		}
		var kib int64
		_, err := fmt.Sscanf(rest, "%d kB", &kib)
		return kib << 10, err
	}
	return 0, fmt.Errorf("process %d: no %s", pid, name)
}

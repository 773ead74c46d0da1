package torture

import (
	"bufio"
	"context"
	"fmt"
	"io"
	"os"
	"os/exec"
	"runtime"
	"slices"
	"sync"
	"syscall"
	"time"
)

// program says how to start a process of the world.
type program struct {
	name string
	path string
	args []string
	env  []string
	dir  string // working directory
	log  string // file
	// tree: the harm goes to what the process has started, and so on, and not to itself while it is frozen. It is the keeper of
	// Postgres, whose server is many processes.
	tree bool
}

// process is a program that is started again after it ended.
type process struct {
	program
	crashed func(name string, err error)

	mu       sync.Mutex
	cmd      *exec.Cmd
	input    io.WriteCloser // its standard input: the end tells a keeper that we are gone
	hello    chan string    // first line of its standard output
	ended    chan struct{}
	expected bool // its end is our doing
	frozen   []int
}

func newProcess(p program, crashed func(string, error)) *process {
	return &process{program: p, crashed: crashed}
}

// start starts the program. What it writes is added to its log.
func (p *process) start() error {
	p.mu.Lock()
	defer p.mu.Unlock()
	log, err := os.OpenFile(p.log, os.O_CREATE|os.O_APPEND|os.O_WRONLY, 0o600)
	if err != nil {
		return fmt.Errorf("start %s: %w", p.name, err)
	}
	defer log.Close()                                                   // the process has its own copy
	cmd := exec.CommandContext(context.Background(), p.path, p.args...) //nolint:gosec // our own program
	cmd.Dir, cmd.Env, cmd.Stderr = p.dir, p.env, log
	cmd.SysProcAttr = &syscall.SysProcAttr{Setpgid: true} // an interrupt from the terminal is ours to pass on
	if !p.tree {
		dieWithParent(cmd.SysProcAttr)
	}
	out, err := cmd.StdoutPipe()
	if err == nil {
		p.input, err = cmd.StdinPipe()
	}
	if err != nil {
		return fmt.Errorf("start %s: %w", p.name, err)
	}
	p.cmd, p.ended, p.expected, p.frozen = cmd, make(chan struct{}), false, nil
	p.hello = make(chan string, 1)
	return p.spawn(out)
}

// spawn starts the command on a thread that lives as long as it: on Linux the kernel kills the process when that thread ends.
func (p *process) spawn(out io.Reader) error {
	started := make(chan error, 1)
	cmd, ended, hello := p.cmd, p.ended, p.hello
	go func() {
		runtime.LockOSThread() // never unlocked: the thread is not used again
		if err := cmd.Start(); err != nil {
			started <- fmt.Errorf("start %s: %w", p.name, err)
			close(ended)
			return
		}
		started <- nil
		lines := bufio.NewScanner(out)
		for first := true; lines.Scan(); first = false {
			if first {
				hello <- lines.Text()
			}
		}
		err := cmd.Wait()
		p.mu.Lock()
		expected := p.expected || p.cmd != cmd
		p.mu.Unlock()
		close(ended)
		if !expected {
			p.crashed(p.name, err)
		}
	}()
	return <-started
}

// firstLine waits for the first line that the process writes.
func (p *process) firstLine(ctx context.Context) (string, error) {
	p.mu.Lock()
	hello, ended := p.hello, p.ended
	p.mu.Unlock()
	select {
	case line := <-hello:
		return line, nil
	case <-ended:
		return "", fmt.Errorf("%s has ended at its start, see %s", p.name, p.log)
	case <-ctx.Done():
		return "", fmt.Errorf("wait for %s: %w", p.name, ctx.Err())
	}
}

// kill is kill -9, of the whole tree.
func (p *process) kill() {
	p.mu.Lock()
	cmd, ended := p.cmd, p.ended
	p.expected = true
	p.mu.Unlock()
	if cmd == nil || cmd.Process == nil || !p.running() {
		return
	}
	pids := []int{cmd.Process.Pid}
	if p.tree {
		pids = append(pids, p.stopTree()...)
	}
	for _, pid := range pids {
		_ = syscall.Kill(pid, syscall.SIGKILL)
	}
	<-ended
}

// end asks the process to end in order, and kills it when it does not within the patience.
func (p *process) end(patience time.Duration) {
	p.thaw()
	p.mu.Lock()
	cmd, ended := p.cmd, p.ended
	p.expected = true
	p.mu.Unlock()
	if cmd == nil || cmd.Process == nil || !p.running() {
		return
	}
	_ = cmd.Process.Signal(syscall.SIGTERM)
	timer := time.NewTimer(patience)
	defer timer.Stop()
	select {
	case <-ended:
	case <-timer.C:
		p.kill()
	}
}

// freeze is SIGSTOP.
func (p *process) freeze() {
	if p.tree && p.running() {
		pids := p.stopTree()
		p.mu.Lock()
		p.frozen = pids
		p.mu.Unlock()
		return
	}
	p.mu.Lock()
	defer p.mu.Unlock()
	if p.cmd == nil || p.cmd.Process == nil || isClosed(p.ended) {
		return
	}
	p.frozen = []int{p.cmd.Process.Pid}
	_ = syscall.Kill(p.cmd.Process.Pid, syscall.SIGSTOP)
}

// thaw is SIGCONT.
func (p *process) thaw() {
	p.mu.Lock()
	defer p.mu.Unlock()
	for _, pid := range p.frozen {
		_ = syscall.Kill(pid, syscall.SIGCONT)
	}
	p.frozen = nil
}

// stopTree stops everything below the process, parents first so that they start nothing more, and returns the ids.
func (p *process) stopTree() []int {
	p.mu.Lock()
	root := p.cmd.Process.Pid
	p.mu.Unlock()
	return stopBelow(root)
}

func stopBelow(root int) []int {
	var stopped []int
	for {
		fresh := slices.DeleteFunc(descendants(root), func(pid int) bool { return slices.Contains(stopped, pid) })
		if len(fresh) == 0 {
			return stopped
		}
		for _, pid := range fresh {
			_ = syscall.Kill(pid, syscall.SIGSTOP)
		}
		stopped = append(stopped, fresh...)
	}
}

// descendants are the processes below root, parents before children.
func descendants(root int) []int {
	children := map[int][]int{}
	for pid, parent := range parents() {
		children[parent] = append(children[parent], pid)
	}
	var all []int
	for queue := children[root]; len(queue) > 0; queue = queue[1:] {
		all = append(all, queue[0])
		queue = append(queue, children[queue[0]]...)
	}
	return all
}

// running tells whether the process has not ended.
func (p *process) running() bool {
	p.mu.Lock()
	ended := p.ended
	p.mu.Unlock()
	return ended != nil && !isClosed(ended)
}

func isClosed(c <-chan struct{}) bool {
	select {
	case <-c:
		return true
	default:
		return false
	}
}

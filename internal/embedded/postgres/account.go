package postgres

import (
	"errors"
	"fmt"
	"os"
	"os/exec"
	"os/user"
	"strconv"
	"syscall"
)

// Account is the operating system account that the Postgres programs run as, because they refuse to run as root.
// A nil *Account is the account of this process.
type Account struct {
	// Name is the login name.
	Name string
	// UID and GID are its numbers.
	UID, GID uint32
}

// RunAs chooses the account: nil for an ordinary user; for root the account postgres if there is one, else nobody.
func RunAs() (*Account, error) {
	if os.Geteuid() != 0 {
		return nil, nil //nolint:nilnil // a nil account is the one of this process, see the type
	}
	for _, name := range []string{"postgres", "_postgres", "nobody"} {
		account, err := lookUp(name)
		if err == nil {
			return account, nil
		}
		if _, unknown := errors.AsType[user.UnknownUserError](err); !unknown {
			return nil, err
		}
	}
	return nil, errors.New("postgres refuses to run as root, and there is no account postgres or nobody to run it as: " +
		"create one, or start beckon as an ordinary user")
}

func lookUp(name string) (*Account, error) {
	entry, err := user.Lookup(name)
	if err != nil {
		return nil, fmt.Errorf("look up account %s: %w", name, err)
	}
	uid, err := strconv.ParseUint(entry.Uid, 10, 32)
	if err != nil {
		return nil, fmt.Errorf("look up account %s: %w", name, err)
	}
	gid, err := strconv.ParseUint(entry.Gid, 10, 32)
	if err != nil {
		return nil, fmt.Errorf("look up account %s: %w", name, err)
	}
	return &Account{Name: name, UID: uint32(uid), GID: uint32(gid)}, nil
}

// Use makes cmd run as the account.
func (a *Account) Use(cmd *exec.Cmd) {
	if a == nil {
		return
	}
	if cmd.SysProcAttr == nil {
		cmd.SysProcAttr = &syscall.SysProcAttr{}
	}
	cmd.SysProcAttr.Credential = &syscall.Credential{Uid: a.UID, Gid: a.GID}
}

// Own gives the file or directory at path to the account.
func (a *Account) Own(path string) error {
	if a == nil {
		return nil
	}
	if err := os.Lchown(path, int(a.UID), int(a.GID)); err != nil {
		return fmt.Errorf("give to account %s: %w", a.Name, err)
	}
	return nil
}

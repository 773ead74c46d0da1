package postgres

import (
	"crypto/sha256"
	"encoding/hex"
	"errors"
	"fmt"
	"os"
	"path/filepath"
	"syscall"
)

// maxSocketDir keeps <dir>/.s.PGSQL.5432 within the 104 bytes that macOS allows for a socket path (Linux: 108).
const maxSocketDir = 85

// socketDir makes an empty directory for the socket that only the account can enter. Its name derives from the
// cluster's path, so that a start after a crash uses it again and nothing piles up. If somebody else has taken the
// name, it gets another one.
func socketDir(cluster string, account *Account) (string, error) {
	sum := sha256.Sum256([]byte(cluster))
	parent, name := os.TempDir(), "beckon-pg-"+hex.EncodeToString(sum[:6])
	if len(parent)+1+len(name) > maxSocketDir {
		parent = "/tmp"
	}
	dir := filepath.Join(parent, name)
	err := os.Mkdir(dir, 0o700)
	switch {
	case err == nil:
		return dir, account.Own(dir)
	case !errors.Is(err, os.ErrExist):
		return "", fmt.Errorf("make directory for the socket: %w", err)
	case isOurs(dir, account):
		return dir, clearDir(dir)
	}
	dir, err = os.MkdirTemp(parent, "beckon-pg-") // mode 0700
	if err != nil {
		return "", fmt.Errorf("make directory for the socket: %w", err)
	}
	return dir, account.Own(dir)
}

// isOurs says whether dir is a real directory that belongs to the account and that nobody else can enter.
func isOurs(dir string, account *Account) bool {
	info, err := os.Lstat(dir)
	if err != nil || !info.IsDir() || info.Mode().Perm() != 0o700 {
		return false
	}
	owner := uint32(os.Geteuid())
	if account != nil {
		owner = account.UID
	}
	stat, ok := info.Sys().(*syscall.Stat_t)
	return ok && stat.Uid == owner
}

func clearDir(dir string) error {
	entries, err := os.ReadDir(dir)
	if err != nil {
		return fmt.Errorf("clear directory of the socket: %w", err)
	}
	for _, entry := range entries {
		if err := os.Remove(filepath.Join(dir, entry.Name())); err != nil {
			return fmt.Errorf("clear directory of the socket: %w", err)
		}
	}
	return nil
}

package postgres

import (
	"context"
	"crypto/rand"
	"errors"
	"fmt"
	"os"
	"path/filepath"
	"strconv"
	"strings"
)

const (
	clusterName  = "cluster"
	passwordName = "beckon.password"
)

// madeBy returns the major version of Postgres that made the cluster, 0 when there is no cluster.
func madeBy(cluster string) (int, error) {
	text, err := os.ReadFile(filepath.Join(cluster, "PG_VERSION"))
	if errors.Is(err, os.ErrNotExist) {
		return 0, nil
	}
	if err != nil {
		return 0, fmt.Errorf("read version of the database: %w", err)
	}
	version, err := strconv.Atoi(strings.TrimSpace(string(text)))
	if err != nil {
		return 0, fmt.Errorf("read version of the database: %w", err)
	}
	return version, nil
}

// create makes the cluster with the role and the database beckon under another name, and renames it when all is there
// and synced. What an interrupted attempt left is removed.
func (r runner) create(ctx context.Context, bin Binaries, dir string) error {
	unfinished := filepath.Join(dir, clusterName+".unfinished")
	if err := os.RemoveAll(unfinished); err != nil {
		return fmt.Errorf("remove unfinished database: %w", err)
	}
	if err := r.fill(ctx, bin, unfinished); err != nil {
		return errors.Join(fmt.Errorf("make the private database: %w", err), os.RemoveAll(unfinished))
	}
	if err := os.Rename(unfinished, filepath.Join(dir, clusterName)); err != nil {
		return fmt.Errorf("make the private database: %w", err)
	}
	return syncDir(dir)
}

func (r runner) fill(ctx context.Context, bin Binaries, dir string) error {
	// Nobody keeps the password of the superuser: it is needed never again.
	superuser, err := r.secretFile(filepath.Dir(dir), "superuser", rand.Text())
	if err != nil {
		return err
	}
	err = r.run(ctx, "", bin.InitDB(), "-D", dir, "-U", "postgres", "--pwfile", superuser, "-A", "scram-sha-256",
		"-E", "UTF8", "--locale=C", "--data-checksums")
	if err = errors.Join(err, os.Remove(superuser)); err != nil {
		return err
	}
	password := rand.Text()
	// In single-user mode a line is a statement. rand.Text is letters and digits, and needs no quoting.
	sql := "create role beckon login password '" + password + "'\n" +
		"create database beckon owner beckon\n"
	if err := r.run(ctx, sql, bin.Postgres(), "--single", "-D", dir, "-c", "password_encryption=scram-sha-256",
		"postgres"); err != nil {
		return err
	}
	temp, err := r.secretFile(dir, passwordName, password)
	if err != nil {
		return err
	}
	return os.Rename(temp, filepath.Join(dir, passwordName))
}

// secretFile writes a new file that only the account can read, synced, and returns its path.
func (r runner) secretFile(dir, name, text string) (string, error) {
	file, err := os.CreateTemp(dir, name+".*") // mode 0600
	if err != nil {
		return "", fmt.Errorf("write password: %w", err)
	}
	_, err = file.WriteString(text)
	err = errors.Join(err, file.Sync(), file.Close())
	if err == nil {
		err = r.account.Own(file.Name())
	}
	if err != nil {
		return "", errors.Join(fmt.Errorf("write password: %w", err), os.Remove(file.Name()))
	}
	return file.Name(), nil
}

func readPassword(cluster string) (string, error) {
	text, err := os.ReadFile(filepath.Join(cluster, passwordName))
	if err != nil {
		return "", fmt.Errorf("read password of the private database: %w", err)
	}
	return strings.TrimSpace(string(text)), nil
}

func syncDir(dir string) error {
	file, err := os.Open(dir)
	if err != nil {
		return fmt.Errorf("sync directory: %w", err)
	}
	if err := errors.Join(file.Sync(), file.Close()); err != nil {
		return fmt.Errorf("sync directory: %w", err)
	}
	return nil
}

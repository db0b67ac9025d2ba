package db

import (
	"context"
	"database/sql"
	"errors"
	"fmt"
	"io/fs"
	"os"
	"path/filepath"

	"modernc.org/sqlite"
	lib "modernc.org/sqlite/lib"
)

// backupStep is the number of pages that a backup copies between two reports of its
// progress: 4 MB in pages of the usual size.
const backupStep = 1024

// Backup writes the database that the URL names to a new file, also while a daemon uses
// it. The file has all transactions that were committed before Backup began, and no other
// one. It appears under its name when it is complete and durable. Only SQLite has such a
// backup: for another engine the error names its tool. report may be nil; it counts pages.
func Backup(ctx context.Context, url string, o Options, file string, report func(Progress)) (err error) {
	db, err := newDB(url, o, true)
	if err != nil {
		return err
	}
	defer func() { err = errors.Join(err, db.Close()) }()
	d, ok := db.layout.dialect.(*sqliteDB)
	if !ok {
		return fmt.Errorf("%s: `siloctl db backup` is for SQLite; use %s", db.name(), db.layout.fragments.backup)
	}
	if _, err := os.Lstat(file); !errors.Is(err, fs.ErrNotExist) {
		return fmt.Errorf("backup %s exists already: name another file", file)
	}
	part, err := newBackupFile(file)
	if err != nil {
		return err
	}
	defer func() {
		_ = os.Remove(part + "-journal") // SQLite leaves it on a full disk
		_ = os.Remove(part)              // fails after the renaming
	}()
	pool, err := d.connect(ctx, forReading)
	if err != nil {
		return err
	}
	defer pool.Close()
	if err := copyPages(ctx, pool, part, report); err != nil {
		if se, ok := errors.AsType[*sqlite.Error](err); ok && se.Code()&0xff == lib.SQLITE_FULL { // the database is only read
			return fmt.Errorf("backup %s: no space left: free some space, or name a file on another disk", file)
		}
		return fmt.Errorf("backup %s: %w", file, d.explain(err))
	}
	if err := os.Rename(part, file); err != nil {
		return fmt.Errorf("backup %s: %w", file, err)
	}
	return syncDir(filepath.Dir(file))
}

// newBackupFile creates an empty file beside the backup. Only its owner may read it, because it
// will have messages and digests of passwords.
func newBackupFile(file string) (string, error) {
	f, err := os.CreateTemp(filepath.Dir(file), filepath.Base(file)+".*.part")
	if err != nil {
		return "", fmt.Errorf("backup %s: %w", file, cause(err))
	}
	return f.Name(), f.Close()
}

// copyPages copies a database to a file. An open transaction of the source keeps the pages as
// they are at its begin, so that commits of the daemon do not make the copy begin again. The
// daemon does not wait for it (WAL).
func copyPages(ctx context.Context, pool *sql.DB, file string, report func(Progress)) error {
	conn, err := pool.Conn(ctx)
	if err != nil {
		return err
	}
	defer conn.Close()
	for _, text := range []string{"BEGIN", readSchema} {
		if _, err := conn.ExecContext(ctx, text); err != nil {
			return err
		}
	}
	err = conn.Raw(func(c any) error {
		source, ok := c.(interface {
			NewBackup(uri string) (*sqlite.Backup, error)
		})
		if !ok {
			return errors.New("this driver of SQLite makes no backups")
		}
		b, err := source.NewBackup(fileURI(file))
		if err != nil {
			return err
		}
		for more := true; more && err == nil; {
			if more, err = b.Step(backupStep); err == nil && report != nil {
				report(Progress{"pages", b.PageCount() - b.Remaining(), b.PageCount()})
			}
			err = errors.Join(err, ctx.Err())
		}
		return errors.Join(err, b.Finish())
	})
	_, rerr := conn.ExecContext(context.WithoutCancel(ctx), "ROLLBACK")
	return errors.Join(err, rerr, syncFile(file))
}

// syncFile makes the contents of a file durable.
func syncFile(path string) error {
	f, err := os.Open(path)
	if err != nil {
		return err
	}
	return errors.Join(f.Sync(), f.Close())
}

// fragments implements dialect.
func (d *textDB) fragments() fragments {
	f := d.sqliteDB.fragments()
	f.backup = "a copy of the directory while silod is stopped"
	return f
}

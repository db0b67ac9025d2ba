package db

import (
	"bytes"
	"errors"
	"fmt"
	"io"
	"io/fs"
	"os"
	"path/filepath"
	"regexp"
	"syscall"
	"time"
)

// A textWrite is the replacement of a table's file. Until replace, the old file stays as it is; at
// any moment later either the old or the new one exists, whole.
type textWrite struct {
	table   *textTable
	path    string
	info    fs.FileInfo // of the file, as last read or written; nil: there is none
	numbers []int64     // rows that the transaction has changed
	marked  []int64     // messages: their rows get their number as the id

	file       *textFile
	renumbered map[int64]bool

	target  string // path, or where it links to
	temp    string // the new file; "" if there is none
	data    []byte
	begun   bool // the old file has changed
	inPlace bool // the old file is overwritten: a new one would have another owner or lose its links
}

// Names of files beside that of a table: a new file that is not complete yet, and one that is
// complete and being written over the old file.
const (
	textNew  = ".silod-new-"
	textRedo = ".silod-redo-"
)

func beside(target, prefix string) string {
	return filepath.Join(filepath.Dir(target), prefix+filepath.Base(target))
}

// readTextFile reads and parses a file.
func readTextFile(path string, own bool) (*textFile, fs.FileInfo, error) {
	file, err := os.Open(path)
	if err != nil {
		return nil, nil, err
	}
	defer file.Close()
	info, err := file.Stat()
	if err != nil {
		return nil, nil, err
	}
	data, err := io.ReadAll(file)
	if err != nil {
		return nil, nil, err
	}
	f, err := parseText(data, own)
	return f, info, err
}

// sameFile reports whether a file is the one that was last read or written, and not changed since.
func sameFile(path string, last fs.FileInfo) (bool, error) {
	info, err := os.Stat(path)
	if errors.Is(err, fs.ErrNotExist) {
		return last == nil, nil
	}
	if err != nil || last == nil {
		return false, err
	}
	return os.SameFile(info, last) && info.Size() == last.Size() && info.ModTime().Equal(last.ModTime()), nil
}

// linkTarget returns the file that a path names, through links, also if it does not exist.
func linkTarget(path string) (string, error) {
	for range 40 {
		link, err := os.Readlink(path)
		switch {
		case errors.Is(err, syscall.EINVAL), errors.Is(err, fs.ErrNotExist):
			return path, nil
		case err != nil:
			return "", err
		case !filepath.IsAbs(link):
			link = filepath.Join(filepath.Dir(path), link)
		}
		path = link
	}
	return "", fmt.Errorf("%s: too many links", path)
}

// prepare writes the new file. model is another table's file, whose mode and owner it gets if there
// is no old one.
func (w *textWrite) prepare(data []byte, model fs.FileInfo) error {
	var err error
	if w.target, err = linkTarget(w.path); err != nil {
		return err
	}
	w.data, w.temp = data, beside(w.target, textNew)
	if err := os.Remove(w.temp); err != nil && !errors.Is(err, fs.ErrNotExist) {
		return err
	}
	f, err := os.OpenFile(w.temp, os.O_WRONLY|os.O_CREATE|os.O_EXCL, 0o600)
	if err != nil {
		w.temp = ""
		return err
	}
	_, err = f.Write(data)
	if err == nil {
		err = w.keepOwner(f, model)
	}
	if err == nil {
		err = f.Sync()
	}
	return errors.Join(err, f.Close())
}

// keepOwner gives the new file the owner, the group, the mode and the attributes of the old one. If
// it may not, the old file will be overwritten.
func (w *textWrite) keepOwner(f *os.File, model fs.FileInfo) error {
	like, mode := w.info, fs.FileMode(0o640)
	if like == nil {
		like = model
	}
	if like == nil {
		return f.Chmod(mode)
	}
	mode = like.Mode().Perm()
	st, ok := like.Sys().(*syscall.Stat_t)
	var ours syscall.Stat_t
	if err := syscall.Fstat(int(f.Fd()), &ours); err != nil || !ok {
		return errors.Join(err, f.Chmod(mode))
	}
	if ours.Gid != st.Gid { // a member of the group may do that
		_ = f.Chown(-1, int(st.Gid))
	}
	if ours.Uid != st.Uid {
		_ = f.Chown(int(st.Uid), -1)
	}
	if err := f.Chmod(mode); err != nil {
		return err
	}
	if w.info == nil {
		return nil
	}
	copyAttributes(w.target, w.temp)
	if err := syscall.Fstat(int(f.Fd()), &ours); err != nil {
		return err
	}
	w.inPlace = ours.Uid != st.Uid || ours.Gid != st.Gid || st.Nlink > 1
	return writable(w.target)
}

// writable returns an error for a file that this process has no right to write. The right to write the
// directory is not enough.
func writable(path string) error {
	f, err := os.OpenFile(path, os.O_WRONLY, 0)
	if err != nil {
		return err
	}
	return f.Close()
}

// replace replaces the old file. It returns errTextChanged if another program has changed that
// since prepare was called.
func (w *textWrite) replace() error {
	if w.temp == "" {
		return nil
	}
	if same, err := sameFile(w.path, w.info); err != nil || !same {
		return errors.Join(errTextChanged, err)
	}
	var err error
	if w.inPlace {
		err = w.overwrite()
	} else if err = os.Rename(w.temp, w.target); err == nil {
		w.temp, w.begun = "", true
	}
	if err != nil {
		return err
	}
	if w.info, err = os.Stat(w.path); err != nil {
		return err
	}
	return syncDir(filepath.Dir(w.target))
}

// overwrite writes the new contents into the old file. The new file stays beside it until that is
// done.
func (w *textWrite) overwrite() error {
	redo := beside(w.target, textRedo)
	if err := os.Rename(w.temp, redo); err != nil {
		return err
	}
	w.temp = redo
	if err := syncDir(filepath.Dir(w.target)); err != nil {
		return err
	}
	var err error
	if w.begun, err = overwriteFile(w.target, w.data); w.begun {
		w.temp = ""
	}
	if err != nil {
		if info, serr := os.Stat(w.path); serr == nil {
			w.info = info
		}
		return err
	}
	return os.Remove(redo)
}

// overwriteFile writes new contents into a file. Only space can be missing, and only for the part
// behind the old end, so that is written first. begun reports whether the old contents have changed.
func overwriteFile(path string, data []byte) (begun bool, err error) {
	f, err := os.OpenFile(path, os.O_WRONLY, 0)
	if err != nil {
		return false, err
	}
	defer func() { err = errors.Join(err, f.Close()) }()
	info, err := f.Stat()
	if err != nil {
		return false, err
	}
	if old := info.Size(); int64(len(data)) > old {
		_, err := f.WriteAt(data[old:], old)
		if err == nil {
			err = f.Sync()
		}
		if err != nil {
			return false, errors.Join(err, f.Truncate(old))
		}
	}
	if _, err := f.WriteAt(data, 0); err != nil {
		return true, err
	}
	if err := f.Truncate(int64(len(data))); err != nil {
		return true, err
	}
	return true, f.Sync()
}

// discard removes the new file if it has not replaced the old one.
func (w *textWrite) discard() {
	if w.temp != "" {
		_ = os.Remove(w.temp)
	}
}

// leftover matches the new files of earlier versions of silod.
var leftover = regexp.MustCompile(`^\.silod-[0-9]+$`)

// repairFiles removes the new files that a silod that was killed has left, and completes a write
// over an old file.
func (d *textDB) repairFiles() error {
	entries, err := os.ReadDir(d.dir)
	if err != nil {
		return fmt.Errorf("cannot read directory %s: %w", d.dir, cause(err))
	}
	for _, e := range entries {
		if leftover.MatchString(e.Name()) && e.Type().IsRegular() {
			_ = os.Remove(filepath.Join(d.dir, e.Name()))
		}
	}
	for _, t := range d.tables {
		target, err := linkTarget(filepath.Join(d.dir, t.name))
		if err != nil {
			continue // load reports it
		}
		if err := os.Remove(beside(target, textNew)); err != nil && !errors.Is(err, fs.ErrNotExist) {
			return fmt.Errorf("cannot remove an incomplete file: %w", err)
		}
		if err := redoFile(target); err != nil {
			return err
		}
	}
	return nil
}

// redoFile completes a write over a file, unless another program has changed the file later.
func redoFile(target string) error {
	redo := beside(target, textRedo)
	data, err := os.ReadFile(redo)
	if errors.Is(err, fs.ErrNotExist) {
		return nil
	}
	var complete, current fs.FileInfo
	if err == nil {
		complete, err = os.Stat(redo)
	}
	if err == nil {
		current, err = os.Stat(target)
	}
	if err != nil {
		return fmt.Errorf("complete table %s: %w", target, err)
	}
	if current.ModTime().After(complete.ModTime().Add(10 * time.Second)) {
		if now, err := os.ReadFile(target); err != nil || !bytes.Equal(now, data) {
			return fmt.Errorf("%s was being replaced by %s when silod was killed, and has been changed since: compare them, and remove the latter", target, redo)
		}
	}
	if _, err := overwriteFile(target, data); err != nil {
		return fmt.Errorf("complete table %s: %w", target, err)
	}
	return os.Remove(redo)
}

// syncDir makes the renaming of a file durable.
func syncDir(dir string) error {
	f, err := os.Open(dir)
	if err != nil {
		return err
	}
	return errors.Join(f.Sync(), f.Close())
}

package sealedstore

import (
	"bytes"
	"crypto/aes"
	"crypto/cipher"
	"crypto/rand"
	"crypto/sha256"
	"encoding/base64"
	"encoding/hex"
	"errors"
	"fmt"
	"io/fs"
	"path/filepath"
	"strings"

	"github.com/tokenwheel/tokenwheel/internal/ownedfile"
)

const (
	keySize   = 32 // AES-256
	idSize    = 4
	maxKeys   = 64
	maxKeyLen = 64 << 10 // bytes of a key file
)

// Keys are the keys of one key file. The first one seals, all of them open. Make
// them with [ReadKeys]; they are safe for concurrent use and print as their ids.
type Keys struct {
	path string
	list []key
}

// key is one of them, ready for use. Its id is a digest of it, so that an id
// cannot be given to another key, and a key that was mistyped is noticed.
type key struct {
	id   [idSize]byte
	aead cipher.AEAD // draws its nonces itself
}

// keyFileHead is what a new key file says of itself.
const keyFileHead = `# Keys of a tokenwheel store: an id and 32 bytes in base64. The first key seals, all
# open. A key may go when "tokenwheel store check" counts no value of it any more.
# Without these keys the store cannot be read: keep a copy, apart from those of the store.
`

// ReadKeys reads a key file. It must be a regular file of mode 0600 or 0400 that
// belongs to this process's user, in a directory in which nobody else can replace
// it; else the error wraps [ErrInsecure]. No error tells of a key more
// than its line.
func ReadKeys(path string) (*Keys, error) {
	content, err := ownedfile.Read(path, maxKeyLen)
	if err != nil {
		return nil, fmt.Errorf("key file %s: %w", path, err)
	}
	k, err := parseKeys(content)
	if err != nil {
		return nil, fmt.Errorf("key file %s: %w", path, err)
	}
	k.path = path
	return k, nil
}

func parseKeys(content []byte) (*Keys, error) {
	k := &Keys{}
	number := 0
	for line := range bytes.Lines(content) {
		number++
		fields := strings.Fields(string(line))
		if isComment(fields) {
			continue
		}
		one, err := parseKey(fields)
		if err != nil {
			return nil, fmt.Errorf("line %d: %w", number, err)
		}
		if k.find(one.id) != nil {
			return nil, fmt.Errorf("line %d: key %x stands in it twice", number, one.id)
		}
		if k.list = append(k.list, one); len(k.list) > maxKeys {
			return nil, fmt.Errorf("line %d: more than %d keys; drop those that no value needs", number, maxKeys)
		}
	}
	if len(k.list) == 0 {
		return nil, errors.New("no key in it; tokenwheel store key puts one there")
	}
	return k, nil
}

func isComment(fields []string) bool { return len(fields) == 0 || strings.HasPrefix(fields[0], "#") }

func parseKey(fields []string) (key, error) {
	if len(fields) != 2 {
		return key{}, errors.New("want an id and a key in base64")
	}
	raw, err := base64.StdEncoding.Strict().DecodeString(fields[1])
	if err != nil || len(raw) != keySize {
		return key{}, fmt.Errorf("want %d bytes in base64", keySize)
	}
	if id := idOf(raw); fields[0] != hex.EncodeToString(id[:]) {
		return key{}, errors.New("id and key do not belong together: one of them is mistyped")
	}
	return newKey(raw)
}

func newKey(raw []byte) (key, error) {
	block, err := aes.NewCipher(raw)
	if err != nil {
		return key{}, err
	}
	aead, err := cipher.NewGCMWithRandomNonce(block)
	return key{idOf(raw), aead}, err
}

func idOf(raw []byte) (id [idSize]byte) {
	sum := sha256.Sum256(append([]byte("tokenwheel store key\n"), raw...))
	copy(id[:], sum[:])
	return id
}

// find returns the key of that id, nil if there is none.
func (k *Keys) find(id [idSize]byte) *key {
	for i := range k.list {
		if k.list[i].id == id {
			return &k.list[i]
		}
	}
	return nil
}

// IDs are the ids of the keys, that of the one which seals first.
func (k *Keys) IDs() []string {
	ids := make([]string, len(k.list))
	for i, one := range k.list {
		ids[i] = hex.EncodeToString(one.id[:])
	}
	return ids
}

// Path is the file the keys were read from.
func (k *Keys) Path() string { return k.path }

// Format prints file and ids, whatever the verb.
func (k *Keys) Format(f fmt.State, _ rune) {
	_, _ = fmt.Fprintf(f, "keys %s of %s", strings.Join(k.IDs(), ", "), k.path)
}

// AddKey makes a new key and puts it in front of those of the file at path, or in
// a new file of mode 0600. It returns the key's id. Values are sealed with it from
// the next time on that the file is read.
func AddKey(path string) (id string, err error) {
	defer func() {
		if err != nil {
			err = fmt.Errorf("add a key to %s: %w", path, err)
		}
	}()
	before, err := ownedfile.Read(path, maxKeyLen)
	switch {
	case errors.Is(err, fs.ErrNotExist):
		if err := ownedfile.CheckDirectory(filepath.Dir(path)); err != nil {
			return "", err
		}
		before = []byte(keyFileHead)
	case err != nil:
		return "", err
	default:
		if _, err := parseKeys(before); err != nil {
			return "", err // a file that is something else is not ours to change
		}
	}
	raw := make([]byte, keySize)
	_, _ = rand.Read(raw) // never fails
	of := idOf(raw)
	id = hex.EncodeToString(of[:])
	line := id + " " + base64.StdEncoding.EncodeToString(raw) + "\n"
	after := insertKey(string(before), line)
	if _, err := parseKeys([]byte(after)); err != nil {
		return "", err
	}
	return id, ownedfile.Write(path, []byte(after))
}

// insertKey puts a line in front of the first key, behind what is said above it.
func insertKey(content, line string) string {
	at := 0
	for one := range strings.Lines(content) {
		if !isComment(strings.Fields(one)) {
			break
		}
		at += len(one)
	}
	if at > 0 && content[at-1] != '\n' {
		line = "\n" + line
	}
	return content[:at] + line + content[at:]
}

package sender

import (
	"crypto/hmac"
	"crypto/sha256"
	"encoding/base64"
	"encoding/hex"
	"fmt"
	"net/http"
	"regexp"
	"strconv"
	"strings"
	"time"
)

// The headers of Standard Webhooks.
const (
	headerID        = "Webhook-Id"
	headerTimestamp = "Webhook-Timestamp"
	headerSignature = "Webhook-Signature"
)

const (
	secretPrefix = "whsec_"
	minSecret    = 24
	maxSecret    = 64
	maxSecrets   = 5
)

// readSecrets reads the secrets of a sink, one in a line. No error shows what is in the file.
func readSecrets(path string) ([][]byte, error) {
	lines, err := readLines(path)
	if err != nil {
		return nil, err
	}
	return parseSecrets(lines, path)
}

// parseSecrets reads secrets, one in a line, of a file or an entry of a Secret.
func parseSecrets(lines []string, where string) ([][]byte, error) {
	var secrets [][]byte
	for i, line := range lines {
		encoded, found := strings.CutPrefix(line, secretPrefix)
		secret, err := base64.StdEncoding.DecodeString(encoded)
		if !found || err != nil || len(secret) < minSecret || len(secret) > maxSecret {
			return nil, fmt.Errorf("line %d of %s is not a secret; write %s and %d to %d random bytes in base64", i+1, where, secretPrefix, minSecret,
				maxSecret)
		}
		secrets = append(secrets, secret)
	}
	if len(secrets) == 0 || len(secrets) > maxSecrets {
		return nil, fmt.Errorf("%s has %d secrets; write 1 to %d, one in a line", where, len(secrets), maxSecrets)
	}
	return secrets, nil
}

// sign adds the headers of Standard Webhooks: a signature with each of the secrets, of which the receiver needs to know one.
func sign(header http.Header, secrets [][]byte, id string, at time.Time, body []byte) {
	timestamp := strconv.FormatInt(at.Unix(), 10)
	signatures := make([]string, len(secrets))
	for i, secret := range secrets {
		mac := hmac.New(sha256.New, secret)
		mac.Write([]byte(id + "." + timestamp + "."))
		mac.Write(body)
		signatures[i] = "v1," + base64.StdEncoding.EncodeToString(mac.Sum(nil))
	}
	header.Set(headerID, id)
	header.Set(headerTimestamp, timestamp)
	header.Set(headerSignature, strings.Join(signatures, " "))
}

var idForm = regexp.MustCompile(`^[-_/:A-Za-z0-9]{1,256}$`)

// webhookID returns an id without a dot, which separates what is signed.
func webhookID(id string) string {
	if idForm.MatchString(id) {
		return id
	}
	return hashID("evt_", []byte(id))
}

func hashID(prefix string, data []byte) string {
	sum := sha256.Sum256(data)
	return prefix + hex.EncodeToString(sum[:16])
}

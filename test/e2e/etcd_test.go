package e2e

import (
	"bytes"
	"crypto/tls"
	"crypto/x509"
	"encoding/json"
	"fmt"
	"net/http"
	"os"
	"regexp"
)

// etcdAddress is in etcd's log, because its port is any free one.
var etcdAddress = regexp.MustCompile(`serving client traffic securely.*"address":"([^"]+)"`)

// etcdClient bypasses the API server. The caller closes its idle connections.
func (w *world) etcdClient() (client *http.Client, url string) {
	w.t.Helper()
	log, err := os.ReadFile(w.path("cluster", "logs", "etcd.log"))
	if err != nil {
		w.t.Fatal(err)
	}
	address := etcdAddress.FindSubmatch(log)
	if address == nil {
		w.t.Fatal("etcd's log does not say where it listens")
	}
	certificate, err := tls.LoadX509KeyPair(w.path("cluster", "pki", "etcd-client.crt"), w.path("cluster", "pki", "etcd-client.key"))
	if err != nil {
		w.t.Fatal(err)
	}
	authority, err := os.ReadFile(w.path("cluster", "pki", "ca.crt"))
	if err != nil {
		w.t.Fatal(err)
	}
	roots := x509.NewCertPool()
	roots.AppendCertsFromPEM(authority)
	return &http.Client{Timeout: patience, Transport: &http.Transport{
		TLSClientConfig: &tls.Config{Certificates: []tls.Certificate{certificate}, RootCAs: roots, MinVersion: tls.VersionTLS12},
	}}, "https://" + string(address[1])
}

// etcd returns everything that is stored, by its key. It bypasses the API server.
func (w *world) etcd() map[string][]byte {
	w.t.Helper()
	client, url := w.etcdClient()
	defer client.CloseIdleConnections()

	const page = 500
	stored := map[string][]byte{}
	for from, more := []byte{0}, true; more; {
		values, further, err := etcdRange(client, url, from, page)
		if err != nil {
			w.t.Fatal(err)
		}
		more = further
		for _, value := range values {
			stored[string(value.Key)] = value.Value
			from = append(bytes.Clone(value.Key), 0)
		}
	}
	return stored
}

type etcdValue struct {
	Key   []byte `json:"key"`
	Value []byte `json:"value"`
}

// etcdRange speaks to etcd's gateway for JSON; a range that ends in zero is open.
func etcdRange(client *http.Client, url string, from []byte, limit int) (values []etcdValue, more bool, err error) {
	request, err := json.Marshal(map[string]any{"key": from, "range_end": []byte{0}, "limit": limit})
	if err != nil {
		return nil, false, err
	}
	response, err := client.Post(url+"/v3/kv/range", "application/json", bytes.NewReader(request))
	if err != nil {
		return nil, false, err
	}
	defer func() { _ = response.Body.Close() }()
	var answer struct {
		KVs  []etcdValue
		More bool
	}
	if response.StatusCode != http.StatusOK {
		return nil, false, fmt.Errorf("etcd answers %s", response.Status)
	}
	err = json.NewDecoder(response.Body).Decode(&answer)
	return answer.KVs, answer.More, err
}

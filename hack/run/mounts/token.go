package mounts

import (
	"context"
	"fmt"
	"path/filepath"
	"time"

	authenticationv1 "k8s.io/api/authentication/v1"
	metav1 "k8s.io/apimachinery/pkg/apis/meta/v1"
	"k8s.io/client-go/kubernetes"
	"k8s.io/utils/ptr"
)

const (
	// tokenLifetime is the default lifetime of projected tokens.
	tokenLifetime = time.Hour
	// tokenFile is the name of the file in the volume.
	tokenFile = "token"
	retry     = 5 * time.Second
)

// Token is a projected ServiceAccount token.
type Token struct {
	Namespace, ServiceAccount string
	// Audience, or "" for the API server.
	Audience string
	// Dir is the volume.
	Dir string
}

// Path is where the token is.
func (t Token) Path() string { return filepath.Join(t.Dir, tokenFile) }

// Project writes the token, and then a new one before each expires, until ctx is done.
func (t Token) Project(ctx context.Context, client kubernetes.Interface, failed func(error)) error {
	expires, err := t.write(ctx, client)
	if err != nil {
		return err
	}
	go func() {
		for {
			wait := time.Until(expires) * 4 / 5 // as the kubelet does
			select {
			case <-ctx.Done():
				return
			case <-time.After(max(wait, retry)):
			}
			next, err := t.write(ctx, client)
			switch {
			case err == nil:
				expires = next
			case ctx.Err() == nil && time.Now().After(expires):
				failed(err)
				return
			}
		}
	}()
	return nil
}

// write requests a token. Unlike a token of the kubelet it is not bound to a Pod, because there is none.
func (t Token) write(ctx context.Context, client kubernetes.Interface) (expires time.Time, err error) {
	spec := authenticationv1.TokenRequestSpec{ExpirationSeconds: ptr.To(int64(tokenLifetime.Seconds()))}
	if t.Audience != "" {
		spec.Audiences = []string{t.Audience}
	}
	request, err := client.CoreV1().ServiceAccounts(t.Namespace).CreateToken(ctx, t.ServiceAccount,
		&authenticationv1.TokenRequest{Spec: spec}, metav1.CreateOptions{})
	if err != nil {
		return time.Time{}, fmt.Errorf("request a token of ServiceAccount %s/%s: %w", t.Namespace, t.ServiceAccount, err)
	}
	return request.Status.ExpirationTimestamp.Time, writeVolume(t.Dir, map[string][]byte{tokenFile: []byte(request.Status.Token)})
}

package mounts

import (
	"context"
	"fmt"
	"os"
	"testing"
	"testing/synctest"
	"time"

	authenticationv1 "k8s.io/api/authentication/v1"
	metav1 "k8s.io/apimachinery/pkg/apis/meta/v1"
	"k8s.io/apimachinery/pkg/runtime"
	"k8s.io/client-go/kubernetes/fake"
	clienttesting "k8s.io/client-go/testing"
)

// TestTokenIsRenewed shows a new token in time before the old one expires.
func TestTokenIsRenewed(t *testing.T) {
	token := Token{Namespace: "acme", ServiceAccount: "app", Audience: "example.com/audience", Dir: t.TempDir()}
	synctest.Test(t, func(t *testing.T) {
		ctx, cancel := context.WithCancel(t.Context())
		requests := 0
		client := &fake.Clientset{}
		client.AddReactor("create", "serviceaccounts", func(action clienttesting.Action) (bool, runtime.Object, error) {
			requests++
			request := action.(clienttesting.CreateAction).GetObject().(*authenticationv1.TokenRequest)
			lifetime := time.Duration(*request.Spec.ExpirationSeconds) * time.Second
			request.Status = authenticationv1.TokenRequestStatus{
				Token:               fmt.Sprintf("token %d for %v", requests, request.Spec.Audiences),
				ExpirationTimestamp: metav1.NewTime(time.Now().Add(lifetime)),
			}
			return true, request, nil
		})
		if err := token.Project(ctx, client, func(err error) { t.Error(err) }); err != nil {
			t.Fatal(err)
		}
		for want := 1; want <= 3; want++ {
			data, err := os.ReadFile(token.Path())
			if text := fmt.Sprintf("token %d for [example.com/audience]", want); err != nil || string(data) != text {
				t.Errorf("got %q, %v; want %q", data, err, text)
			}
			time.Sleep(tokenLifetime*4/5 + time.Second)
			synctest.Wait()
		}
		cancel()
	})
}

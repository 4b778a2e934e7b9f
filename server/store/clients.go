package store

import (
	"fmt"

	syncv1 "github.com/keyward-dev/keyward/api/sync/v1"
	"github.com/keyward-dev/keyward/internal/addresses"
	"github.com/keyward-dev/keyward/server/decision"
)

// appendClients adds the fields that say who may present a key.
func (k *keyRecord) appendClients(wire *syncv1.Key) {
	k.scope = appendNumber(k.scope, keyClients, uint64(wire.GetClients()))
	for _, prefix := range wire.GetAddresses() {
		k.scope = appendField(k.scope, keyAddresses, prefix)
	}
}

// decodeClients adds the clients if their value is known and is not the default, which is never encoded.
func (k *keyRecord) decodeClients(bits uint64) bool {
	switch bits {
	case uint64(syncv1.Clients_CLIENTS_BROWSER), uint64(syncv1.Clients_CLIENTS_SERVER):
		k.scope = appendNumber(k.scope, keyClients, bits)
		return true
	default:
		return false
	}
}

// decisionScope is a scope as decisions need it, or an error if the record cannot be used: without what it restricts, the key
// would be accepted from other clients than it declares.
func decisionScope(wire *syncv1.Key) (decision.Scope, error) {
	scope := decision.Scope{Projects: wire.GetProjects(), Permissions: wire.GetPermissions(), Quota: wire.GetQuota()}
	switch clients := wire.GetClients(); clients {
	case syncv1.Clients_CLIENTS_UNSPECIFIED:
	case syncv1.Clients_CLIENTS_BROWSER:
		scope.Clients = decision.BrowserOnly
	case syncv1.Clients_CLIENTS_SERVER:
		scope.Clients = decision.ServerOnly
	default:
		return scope, fmt.Errorf("clients: the value %d is of a later release: upgrade this validation server", clients)
	}
	var err error
	if scope.Addresses, err = addresses.ParseAll(wire.GetAddresses()); err != nil {
		return scope, err
	}
	scope.Context, err = keyContextOf(wire)
	return scope, err
}

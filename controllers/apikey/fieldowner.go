package apikey

import (
	"encoding/json"
	"maps"
	"slices"
	"strings"

	corev1 "k8s.io/api/core/v1"
)

// owned are the names of the fields of a Secret that the operator owns.
type owned struct {
	labels, annotations, data []string
}

// ownedFields reads the managed fields of a Secret (FieldsV1: "f:" before a field's name).
func ownedFields(secret *corev1.Secret) owned {
	type members map[string]json.RawMessage
	labels, annotations, data := members{}, members{}, members{}
	for _, entry := range secret.ManagedFields {
		if entry.Manager != string(FieldOwner) || entry.FieldsV1 == nil {
			continue
		}
		var fields struct {
			Metadata struct {
				Labels      members `json:"f:labels"`
				Annotations members `json:"f:annotations"`
			} `json:"f:metadata"`
			Data members `json:"f:data"`
		}
		if err := json.Unmarshal(entry.FieldsV1.GetRawBytes(), &fields); err != nil {
			continue // not in the format: nothing of it is known to be ours
		}
		maps.Copy(labels, fields.Metadata.Labels)
		maps.Copy(annotations, fields.Metadata.Annotations)
		maps.Copy(data, fields.Data)
	}
	names := func(m members) []string {
		var out []string
		for name := range m {
			if name, ok := strings.CutPrefix(name, "f:"); ok {
				out = append(out, name)
			}
		}
		slices.Sort(out)
		return out
	}
	return owned{names(labels), names(annotations), names(data)}
}

// owns reports whether the owned names are exactly the declared ones.
func owns[V any](names []string, declared map[string]V) bool {
	return slices.Equal(names, slices.Sorted(maps.Keys(declared)))
}

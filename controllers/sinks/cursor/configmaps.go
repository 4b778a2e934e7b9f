// Package cursor persists how far sinks are, in ConfigMaps.
package cursor

import (
	"context"
	"encoding/json"
	"errors"
	"fmt"
	"hash/fnv"
	"maps"
	"slices"
	"strconv"

	"github.com/go-logr/logr"
	corev1 "k8s.io/api/core/v1"
	apierrors "k8s.io/apimachinery/pkg/api/errors"
	metav1 "k8s.io/apimachinery/pkg/apis/meta/v1"
	"k8s.io/apimachinery/pkg/types"
	"sigs.k8s.io/controller-runtime/pkg/client"

	"github.com/keyward-dev/keyward/api/v1alpha1"
	"github.com/keyward-dev/keyward/controllers/sinks"
)

// +kubebuilder:rbac:groups="",namespace=keyward-system,resources=configmaps,verbs=get;update,resourceNames=keyward-sinks-0;keyward-sinks-1;keyward-sinks-2;keyward-sinks-3;keyward-sinks-4;keyward-sinks-5;keyward-sinks-6;keyward-sinks-7

// Shards is how many ConfigMaps there are. An API server takes a ConfigMap of 1 MiB, in which a position has about 50 bytes: there is room for
// 160,000 positions, such as those of three sinks in 50,000 logs.
const Shards = 8

// conflicts is how often a write is repeated that another one came before.
const conflicts = 5

// ConfigMaps keeps positions in ConfigMaps with fixed names, so that the manager needs no right on others. A log is in one of them, for
// all sinks: what moves is written together.
type ConfigMaps struct {
	// Reader reads past the cache.
	Reader    client.Reader
	Client    client.Client
	Namespace string
	Log       logr.Logger

	shards [Shards]*corev1.ConfigMap // as they were last read or written; nil if unknown
	next   int                       // the one that is written first
}

// Name returns the name of a ConfigMap.
func Name(shard int) string { return "keyward-sinks-" + strconv.Itoa(shard) }

// shardOf returns which ConfigMap has the positions in a log.
func shardOf(log string) int {
	hash := fnv.New32a()
	_, _ = hash.Write([]byte(log))
	return int(hash.Sum32() % Shards)
}

// Load implements sinks.Store.
func (c *ConfigMaps) Load(ctx context.Context) (map[string]sinks.Positions, error) {
	all := map[string]sinks.Positions{}
	for shard := range Shards {
		object, err := c.read(ctx, shard)
		if err != nil {
			return nil, err
		}
		for sink, positions := range c.decode(object) {
			if all[sink] == nil {
				all[sink] = sinks.Positions{}
			}
			maps.Copy(all[sink], positions)
		}
	}
	return all, nil
}

// Save implements sinks.Store. It writes one ConfigMap, and returns what belongs into others.
func (c *ConfigMaps) Save(ctx context.Context, moved map[string]sinks.Positions, exists func(sink, log string) bool,
) (left map[string]sinks.Positions, err error) {
	shard, mine, left := c.split(moved)
	if mine == nil {
		return nil, nil
	}
	c.next = (shard + 1) % Shards
	for range conflicts {
		if err = c.write(ctx, shard, mine, exists); err == nil {
			return left, nil
		}
		c.shards[shard] = nil // somebody else may have changed it
		if !apierrors.IsConflict(err) && !apierrors.IsAlreadyExists(err) && !apierrors.IsNotFound(err) {
			break
		}
	}
	return moved, fmt.Errorf("writing the ConfigMap %s: %w", Name(shard), err)
}

// split returns the ConfigMap whose turn it is, what belongs into it, and the rest.
func (c *ConfigMaps) split(moved map[string]sinks.Positions) (shard int, mine, left map[string]sinks.Positions) {
	shard = -1
	distance := func(shard int) int { return (shard - c.next + Shards) % Shards }
	for _, positions := range moved {
		for log := range positions {
			if of := shardOf(log); shard < 0 || distance(of) < distance(shard) {
				shard = of
			}
		}
	}
	if shard < 0 {
		return 0, nil, nil
	}
	mine, left = map[string]sinks.Positions{}, map[string]sinks.Positions{}
	for sink, positions := range moved {
		for log, position := range positions {
			into := left
			if shardOf(log) == shard {
				into = mine
			}
			if into[sink] == nil {
				into[sink] = sinks.Positions{}
			}
			into[sink][log] = position
		}
	}
	return shard, mine, left
}

// write merges positions into a ConfigMap.
func (c *ConfigMaps) write(ctx context.Context, shard int, moved map[string]sinks.Positions, exists func(sink, log string) bool) error {
	object := c.shards[shard]
	if object == nil {
		var err error
		if object, err = c.read(ctx, shard); err != nil {
			return err
		}
	}
	all := c.decode(object)
	for sink, positions := range moved {
		if all[sink] == nil {
			all[sink] = sinks.Positions{}
		}
		for log, position := range positions {
			all[sink][log] = max(all[sink][log], position)
		}
	}
	data := map[string]string{}
	for sink, positions := range all {
		maps.DeleteFunc(positions, func(log string, _ uint64) bool { return !exists(sink, log) })
		if len(positions) == 0 {
			continue
		}
		text, err := json.Marshal(positions) // in the order of the keys
		if err != nil {
			return fmt.Errorf("encoding positions: %w", err)
		}
		data[sink] = string(text)
	}
	if maps.Equal(data, object.Data) {
		c.shards[shard] = object
		return nil
	}
	object = object.DeepCopy()
	object.Data = data
	var err error
	if object.ResourceVersion == "" {
		err = c.Client.Create(ctx, object)
	} else {
		err = c.Client.Update(ctx, object)
	}
	if err == nil {
		c.shards[shard] = object
	}
	return err
}

// read returns a ConfigMap as it is; a new one without a resource version, if there is none.
func (c *ConfigMaps) read(ctx context.Context, shard int) (*corev1.ConfigMap, error) {
	object := &corev1.ConfigMap{}
	err := c.Reader.Get(ctx, types.NamespacedName{Namespace: c.Namespace, Name: Name(shard)}, object)
	if apierrors.IsNotFound(err) {
		object = &corev1.ConfigMap{ObjectMeta: metav1.ObjectMeta{
			Namespace: c.Namespace, Name: Name(shard),
			Labels: map[string]string{"app.kubernetes.io/name": "keyward", v1alpha1.LabelManagedBy: v1alpha1.ManagedBy},
		}}
		err = nil
	}
	if err != nil {
		return nil, fmt.Errorf("reading the ConfigMap %s: %w", Name(shard), err)
	}
	return object, nil
}

var errPositions = errors.New("it is not an object with numbers")

// decode returns the positions in a ConfigMap. Without those that cannot be read, what they stand for is sent again.
func (c *ConfigMaps) decode(object *corev1.ConfigMap) map[string]sinks.Positions {
	all := map[string]sinks.Positions{}
	for _, sink := range slices.Sorted(maps.Keys(object.Data)) {
		var positions sinks.Positions
		if json.Unmarshal([]byte(object.Data[sink]), &positions) != nil {
			c.Log.Error(errPositions, "Cannot read the positions of a sink; events are sent again", "sink", sink, "configMap", object.Name)
			continue
		}
		if positions != nil {
			all[sink] = positions
		}
	}
	return all
}

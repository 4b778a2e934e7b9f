package tier

import (
	"encoding/json"
	"time"

	"github.com/prometheus/common/model"
	"k8s.io/apimachinery/pkg/api/resource"
	"k8s.io/apimachinery/pkg/util/validation/field"
	"k8s.io/utils/ptr"

	"github.com/keyward-dev/keyward/api/v1alpha1"
	"github.com/keyward-dev/keyward/internal/configfile"
)

const day = 24 * time.Hour

// How long the log of a Group is kept where its tier does not say.
const (
	LogRetentionWithAuditLog    = 90 * day
	LogRetentionWithoutAuditLog = 7 * day
)

const minLogRetention, maxLogRetention = day, 3650 * day

const logRetentionHint = "write a duration from 1d to 3650d, such as 90d"

// How many bytes of events the log of a Group may have.
const (
	MinLogSize     = 1 << 20
	DefaultLogSize = 64 << 20
	maxLogSize     = 1 << 30
)

const logSizeHint = "write a size from 1Mi to 1Gi, such as 64Mi"

// LogSize returns how many bytes of events the log of a Group may have.
func (c *Catalogue) LogSize(group *v1alpha1.Group) int64 {
	name := group.Spec.Tier
	if name == "" {
		name = c.Default
	}
	if found := c.Find(name); found != nil && found.LogSize > 0 {
		return found.LogSize
	}
	return DefaultLogSize
}

// parseLogSize returns the size that is written in bytes, or 0 if none is.
func parseLogSize(written json.RawMessage, path *field.Path) (int64, field.ErrorList) {
	if written == nil {
		return 0, nil
	}
	var text string
	if err := json.Unmarshal(written, &text); err == nil {
		size, err := resource.ParseQuantity(text)
		if err == nil && size.CmpInt64(MinLogSize) >= 0 && size.CmpInt64(maxLogSize) <= 0 {
			return size.Value(), nil
		}
	}
	return 0, field.ErrorList{field.Invalid(path.Child("logSize"), configfile.Shown(written), logSizeHint)}
}

// LogRetention returns how long the log of a Group is kept. A tier that is not in the catalogue any more counts as far as the status
// of the Group shows it.
func (c *Catalogue) LogRetention(group *v1alpha1.Group) time.Duration {
	name := group.Spec.Tier
	if name == "" {
		name = c.Default
	}
	auditLog := group.Status.Limits != nil && ptr.Deref(group.Status.Limits.AuditLog, false)
	if found := c.Find(name); found != nil {
		if found.LogRetention > 0 {
			return found.LogRetention
		}
		auditLog = found.AuditLog
	}
	if auditLog {
		return LogRetentionWithAuditLog
	}
	return LogRetentionWithoutAuditLog
}

// parseLogRetention returns the duration that is written, or 0 if none is.
func parseLogRetention(written json.RawMessage, path *field.Path) (time.Duration, field.ErrorList) {
	if written == nil {
		return 0, nil
	}
	var text string
	if err := json.Unmarshal(written, &text); err == nil {
		length, err := model.ParseDuration(text)
		if err == nil && time.Duration(length) >= minLogRetention && time.Duration(length) <= maxLogRetention {
			return time.Duration(length), nil
		}
	}
	return 0, field.ErrorList{field.Invalid(path.Child("logRetention"), configfile.Shown(written), logRetentionHint)}
}

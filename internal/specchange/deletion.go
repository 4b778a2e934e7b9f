package specchange

import (
	"encoding/json"
	"fmt"
	"strings"
	"time"

	"github.com/keyward-dev/keyward/api/v1alpha1"
	"github.com/keyward-dev/keyward/internal/groupevent"
)

// DeletionStampValid is how much later than its stamp a deletion may be: one that was refused, and came later from somebody else whose
// stamp is missing, was not by who is stamped.
const DeletionStampValid = time.Minute

// Deletion returns who asked for the deletion of an object last; nil if that is not known.
func Deletion(annotations map[string]string) *Change {
	text := annotations[v1alpha1.AnnotationDeletedBy]
	deletion := &Change{}
	if text == "" || len(text) > maxSize || json.Unmarshal([]byte(text), deletion) != nil {
		return nil
	}
	return deletion
}

// EncodeDeletion returns the annotation.
func EncodeDeletion(deletion Change) (string, error) {
	deletion.clip()
	encoded, err := json.Marshal(deletion)
	if err != nil {
		return "", fmt.Errorf("encoding a deletion: %w", err)
	}
	return string(encoded), nil
}

// ViaDeletion returns how a user deleted an object. Requests for that name no field manager.
func ViaDeletion(user string) string {
	if strings.HasPrefix(user, "system:serviceaccount:") {
		return groupevent.ViaAutomation
	}
	return groupevent.ViaOther
}

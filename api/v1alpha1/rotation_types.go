package v1alpha1

// Rotation is when a new version of a key is minted, and how long its predecessor stays.
//
// +kubebuilder:validation:XValidation:rule="has(self.every) || !has(self.window) && !has(self.jitter)",message="window and jitter are about scheduled rotations; set every, or remove them",fieldPath=".every"
type Rotation struct {
	// every is the age at which a version is replaced, at least 1m, such as 60d; default:
	// never. A version that expires earlier is replaced earlier, so that the overlap ends
	// before it expires. A missed rotation happens once, as soon as possible.
	//
	// +optional
	Every Duration `json:"every,omitempty"`

	// jitter is by how much a scheduled rotation is earlier than every at most. By how much it is
	// differs between keys, and is the same for a key each time, so that keys which were created
	// together do not rotate together; default: a twentieth of every; 0s for none; at most half of
	// every.
	//
	// +optional
	Jitter Duration `json:"jitter,omitempty"`

	// window is when scheduled rotations happen; default: at any time. A rotation is in the last
	// window before it is due. It is never later than every, nor later than the expiry requires: if
	// no window opens in time, it happens without one. A change of trigger rotates at once.
	//
	// +optional
	Window *RotationWindow `json:"window,omitempty"`

	// overlap is how long the earlier version stays accepted after the new one was delivered,
	// to the second, and never past its own expiry; default 24h. 0s ends it at once. An edit
	// also applies to versions that are already in their overlap.
	//
	// +kubebuilder:default="24h"
	// +optional
	Overlap Duration `json:"overlap,omitempty"`

	// retireWhenUnusedFor ends an overlap early: when the new version has been used, and no
	// validation server has seen the earlier one used for this long. All of them must be
	// connected. At least 10s; default: not early.
	//
	// +optional
	RetireWhenUnusedFor Duration `json:"retireWhenUnusedFor,omitempty"`

	// trigger rotates the key when it changes to a value that no version in status.versions had,
	// at most 256 characters; for instance the date on which somebody asked for it.
	//
	// +kubebuilder:validation:MinLength=1
	// +kubebuilder:validation:MaxLength=256
	// +optional
	Trigger string `json:"trigger,omitempty"`
}

// Weekday is a day of the week.
//
// +kubebuilder:validation:Enum=Mon;Tue;Wed;Thu;Fri;Sat;Sun
type Weekday string

// RotationWindow is a part of the day on some days.
//
// +kubebuilder:validation:XValidation:rule="(has(self.from) ? self.from : '00:00') != (has(self.to) ? self.to : '24:00')",message="the window has no length; for whole days, remove from and to",fieldPath=".to"
type RotationWindow struct {
	// days on which the window opens, at most 7 of Mon, Tue, Wed, Thu, Fri, Sat, Sun; default:
	// every day.
	//
	// +kubebuilder:validation:MinItems=1
	// +kubebuilder:validation:MaxItems=7
	// +kubebuilder:validation:XValidation:rule="self.all(x, self.exists_one(y, x == y))",message="each is named once; remove the duplicate"
	// +listType=atomic
	// +optional
	Days []Weekday `json:"days,omitempty"`

	// from is when it opens, such as 02:00; default 00:00. If the clock skips that time in a night,
	// the window opens when the clock is set, if it is not over then.
	//
	// +kubebuilder:default="00:00"
	// +kubebuilder:validation:MinLength=5
	// +kubebuilder:validation:MaxLength=5
	// +kubebuilder:validation:Pattern=`^([01][0-9]|2[0-3]):[0-5][0-9]$`
	// +optional
	From string `json:"from,omitempty"`

	// to is when it closes, such as 04:00; default 24:00. If it is before from, that is on the next
	// day.
	//
	// +kubebuilder:default="24:00"
	// +kubebuilder:validation:MinLength=5
	// +kubebuilder:validation:MaxLength=5
	// +kubebuilder:validation:Pattern=`^(([01][0-9]|2[0-3]):[0-5][0-9]|24:00)$`
	// +optional
	To string `json:"to,omitempty"`

	// timeZone of these times: an IANA name, such as Europe/Berlin; default UTC.
	//
	// +kubebuilder:default=UTC
	// +kubebuilder:validation:MinLength=1
	// +kubebuilder:validation:MaxLength=64
	// +kubebuilder:validation:Pattern=`^[A-Za-z][-A-Za-z0-9_+]*(/[-A-Za-z0-9_+]+)*$`
	// +optional
	TimeZone string `json:"timeZone,omitempty"`
}

// ImportSource is where an existing key is found: its text, or only the hash of its text.
//
// +kubebuilder:validation:XValidation:rule="has(self.secretKeyRef) != has(self.sha256)",message="set secretKeyRef or sha256, and not both"
// +kubebuilder:validation:XValidation:rule="!has(self.preview) || has(self.sha256)",message="a preview is for a key that is imported by its hash; remove it",fieldPath=".preview"
type ImportSource struct {
	// secretKeyRef names an entry of a Secret in the namespace of the ApiKey: printable
	// ASCII without spaces, 20 to 512 characters, of which at least 8 differ. The user who
	// creates the ApiKey needs the right to get that Secret.
	//
	// +optional
	SecretKeyRef SecretKeyReference `json:"secretKeyRef,omitzero"` //nolint:kubeapilinter // absent is without a name; a pointer would say no more

	// sha256 is the SHA-256 of the key text, without a salt, for who has no text: 64 hexadecimal
	// digits, with or without sha256: in front, or 43 characters of base64 or base64url, with or
	// without = at the end. There is no Secret until the first rotation, which mints a key. Whoever
	// may read the ApiKey can test texts against it. The user who creates the ApiKey needs the verb
	// import on apikeys.
	//
	// +kubebuilder:validation:MinLength=43
	// +kubebuilder:validation:MaxLength=71
	// +kubebuilder:validation:Pattern=`^((sha256:)?[0-9a-fA-F]{64}|[-A-Za-z0-9+/_]{42}[AEIMQUYcgkosw048]=?)$`
	// +optional
	SHA256 string `json:"sha256,omitempty"`

	// preview is, with sha256, what is shown of the key so that its holder recognizes it, such as
	// the first characters of its text; default: imported.
	//
	// +kubebuilder:validation:MinLength=1
	// +kubebuilder:validation:MaxLength=32
	// +kubebuilder:validation:Pattern=`^[!-~…]+$`
	// +optional
	Preview string `json:"preview,omitempty"`
}

// SecretKeyReference names an entry of a Secret.
type SecretKeyReference struct {
	// name of the Secret: a DNS name of at most 253 characters.
	//
	// +kubebuilder:validation:MinLength=1
	// +kubebuilder:validation:MaxLength=253
	// +kubebuilder:validation:Pattern=`^[a-z0-9]([-a-z0-9]*[a-z0-9])?(\.[a-z0-9]([-a-z0-9]*[a-z0-9])?)*$`
	// +required
	Name string `json:"name,omitempty"`

	// key of the entry: at most 253 letters, digits, '-', '_' and '.'.
	//
	// +kubebuilder:validation:MinLength=1
	// +kubebuilder:validation:MaxLength=253
	// +kubebuilder:validation:Pattern=`^[-._a-zA-Z0-9]+$`
	// +required
	Key string `json:"key,omitempty"`
}

// Where the identity provider keeps things: a map with expiry. The package's own memory adapter
// forgets after a thousand entries, which a load test passes in a second, and is tied to one
// provider object, which key rotation replaces.

const entries = new Map();

export class Memory {
  constructor(model) {
    this.model = model;
  }

  /** Ends everything of one kind. */
  static forget(model) {
    for (const key of entries.keys()) {
      if (key.startsWith(`${model}:`)) entries.delete(key);
    }
  }

  async upsert(id, payload, expiresIn) {
    entries.set(this.#key(id), { payload, until: expiresIn ? Date.now() + expiresIn * 1000 : Infinity });
  }

  async find(id) {
    const entry = entries.get(this.#key(id));
    if (entry === undefined || entry.until <= Date.now()) {
      entries.delete(this.#key(id));
      return undefined;
    }
    return entry.payload;
  }

  async findByUid(uid) {
    return this.#search((payload) => payload.uid === uid);
  }

  async findByUserCode(userCode) {
    return this.#search((payload) => payload.userCode === userCode);
  }

  async consume(id) {
    const payload = await this.find(id);
    if (payload) payload.consumed = Math.floor(Date.now() / 1000);
  }

  async destroy(id) {
    entries.delete(this.#key(id));
  }

  async revokeByGrantId(grantId) {
    for (const [key, { payload }] of entries) {
      if (payload.grantId === grantId) entries.delete(key);
    }
  }

  #key(id) {
    return `${this.model}:${id}`;
  }

  #search(fits) {
    for (const [key, { payload, until }] of entries) {
      if (key.startsWith(`${this.model}:`) && until > Date.now() && fits(payload)) return payload;
    }
    return undefined;
  }
}

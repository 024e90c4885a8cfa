// Where the page is: `#/c/ID`, `#/settings/devices`, … so that links, the back button and reloading work.

export interface Route {
  /** `` (the list), `c`, `new`, `discover`, `search`, `requests`, `settings`, `admin`, `shortcuts`. */
  view: string;
  /** What follows, unescaped. */
  rest: string[];
}

/** Reads a hash. */
export function parse(hash: string): Route {
  const [view = '', ...rest] = hash
    .replace(/^#\/?/, '')
    .split('/')
    .map((part) => {
      try {
        return decodeURIComponent(part);
      } catch {
        return part;
      }
    });
  return { view, rest };
}

/** The hash of a view. */
export function link(...parts: string[]): string {
  return `#/${parts.map(encodeURIComponent).join('/')}`;
}

class Place {
  now = $state<Route>(parse(location.hash));

  constructor() {
    addEventListener('hashchange', () => (this.now = parse(location.hash)));
  }

  /** Goes somewhere, as a new step in the browser's history or in place of this one. */
  go(...parts: string[]): void {
    location.hash = link(...parts);
  }

  instead(...parts: string[]): void {
    history.replaceState(null, '', link(...parts));
    this.now = parse(location.hash);
  }
}

export const place = new Place();

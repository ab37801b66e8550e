/* Native.java - Java threads that allocate in C through JNI, in compiled code, and meet null references on their way. */
public class Native {
	static native long keep(int size);
	static native void giveBack(int size);

	int value = 1;

	/* Compiled without a test for null: the fault is the test, and the handler of the JVM makes an exception of it. */
	static int valueOf(Native n) {
		return n.value;
	}

	static int work(int rounds) {
		Native n = new Native();
		int sum = 0;
		for (int i = 0; i < rounds; i++) {
			giveBack(100 + i % 100);
			try {
				sum += valueOf(i % 1000 == 999 ? null : n);
			} catch (NullPointerException e) {
				sum += 1000000;
			}
		}
		return sum;
	}

	public static void main(String[] arguments) throws Exception {
		System.load(arguments[0]);
		Thread[] threads = new Thread[4];
		int[] sums = new int[threads.length];
		for (int t = 0; t < threads.length; t++) {
			int own = t;
			threads[t] = new Thread(() -> sums[own] = work(20000));
			threads[t].start();
		}
		long last = 0;
		for (int i = 0; i < 1000; i++)
			last = keep(3000);
		for (Thread t : threads)
			t.join();
		System.out.println(java.util.Arrays.toString(sums) + (last != 0 ? " kept" : ""));
	}
}

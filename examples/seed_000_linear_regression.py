"""Linear regression with fit and predict, trained by gradient descent.

The program loads a table, holds out a fifth of it, fits weights and a bias by 1000 full-batch steps of
gradient descent and prints the mean squared error on the held-out rows. Changed from the original: the
class ``LinearRegression`` that it writes out by hand is imported from ``nnkit.sklearn``, and the Boston
data, which were withdrawn, give way to the diabetes data, scaled to unit variance so that 1000 steps suffice.
"""

from sklearn.datasets import load_diabetes
from sklearn.metrics import mean_squared_error
from sklearn.model_selection import train_test_split
from sklearn.preprocessing import scale

from nnkit.sklearn import LinearRegression

diabetes = load_diabetes()
X = scale(diabetes.data)
y = diabetes.target

X_train, X_test, y_train, y_test = train_test_split(X, y, test_size=0.2, random_state=42)

model = LinearRegression()
model.fit(X_train, y_train)

y_pred = model.predict(X_test)
print("Mean Squared Error:", mean_squared_error(y_test, y_pred))
